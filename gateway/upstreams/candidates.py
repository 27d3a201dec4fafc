"""Where a model is served: its upstreams, of which one is chosen by weight and load, and what to fall back on."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.config import Settings

ANY_MODEL = "*"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream that may get the request, under another model's name where `model` is set."""

    upstream: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Where a request can go: `upstreams` are equals, `fallbacks` are for when they fail, in their order."""

    upstreams: tuple[Candidate, ...]
    fallbacks: tuple[Candidate, ...] = ()

    @property
    def all(self) -> tuple[Candidate, ...]:
        """All of them."""
        return self.upstreams + self.fallbacks

    @property
    def unrenamed(self) -> "Served":
        """Where a body can go that is passed on as it comes: no other model's name can take its model's place."""
        return Served(self.upstreams, tuple(one for one in self.fallbacks if one.model is None))


class Candidates:
    """Knows of each model where it is served, by the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A caller chooses the model's name, so what is remembered of names is bounded.
        self.of = lru_cache(maxsize=1024)(self._of)

    def _of(self, model: str | None) -> Served:
        settings = self._settings
        named = (settings.models.get(model) if model else None) or settings.models.get(ANY_MODEL)
        if named is None:
            return Served((Candidate(settings.first_upstream),))
        names = named.upstreams or ((named.upstream,) if named.upstream else (settings.first_upstream,))
        fallbacks = tuple(Candidate(found.upstream or names[0], found.model) for found in named.fallbacks)
        return Served(tuple(map(Candidate, names)), fallbacks)


def least_busy(among: Sequence[Candidate], busy: Callable[[str], int], weight: Callable[[str], float]) -> Candidate:
    """Return the candidate with the least to do for its weight; of equals one by chance."""
    if len(among) == 1:
        return among[0]
    loads = [((busy(one.upstream) + 1) / weight(one.upstream), random.random(), one) for one in among]  # noqa: S311
    return min(loads, key=lambda load: load[:2])[2]
