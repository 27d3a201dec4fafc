"""What one reading of the configuration makes: everything that a request is served with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.accounts import Accounts
from gateway.config import Settings
from gateway.journey import Sampler
from gateway.pipeline import Pipeline, Windows
from gateway.pricing import PriceBook
from gateway.record import RequestRecord
from gateway.upstreams.attempts import Attempts
from gateway.upstreams.candidates import Candidates
from gateway.upstreams.upstream import Upstream

# Read at the start alone: what they decide is built, opened or listened on then.
_FIXED = ("store", "redis", "on_store_outage", "admin")
_FIXED_OF_WINDOWING = ("processes", "queue", "embedding_model", "embedding_ms")


@dataclass(frozen=True, slots=True)
class Serving:
    """The settings, and what was made of them."""

    settings: Settings
    upstreams: Mapping[str, Upstream]
    prices: Mapping[str, PriceBook]
    attempts: Attempts
    pipeline: Pipeline


def upstreams_of(settings: Settings, known: Mapping[str, Upstream]) -> dict[str, Upstream]:
    """Return the settings' upstreams; those of which nothing changed are `known` ones, with their connections."""
    return {name: _upstream(name, settings, known.get(name)) for name in settings.upstreams}


def serving(  # noqa: PLR0913, PLR0917 - one value a part
    settings: Settings,
    upstreams: Mapping[str, Upstream],
    accounts: Accounts,
    windows: Windows,
    record: Callable[[RequestRecord], None],
    sampler: Sampler | None = None,
) -> Serving:
    """Make it; from now on the accounts hold requests to these settings."""
    own = {name: model.price for name, model in settings.models.items()}
    prices = {name: PriceBook(found.base_url, own) for name, found in settings.upstreams.items()}
    candidates, attempts = Candidates(settings), Attempts(settings.retries, upstreams)
    pipeline = Pipeline(
        settings=settings,
        spending=accounts.configured(settings, candidates, prices),
        upstreams=upstreams,
        candidates=candidates,
        attempts=attempts,
        prices=prices,
        windows=windows,
        record=record,
        endings=accounts.endings,
        sampler=sampler,
    )
    return Serving(settings, upstreams, prices, attempts, pipeline)


def _upstream(name: str, settings: Settings, known: Upstream | None) -> Upstream:
    wanted = settings.upstreams[name]
    return known if known is not None and known.settings == wanted else Upstream(name, wanted)


def taken_over(new: Settings, old: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Return the new settings with what only a start can change as it was, and the names of what differs there."""
    fixed = [name for name in _FIXED if getattr(new, name) != getattr(old, name)]
    inner = [name for name in _FIXED_OF_WINDOWING if getattr(new.windowing, name) != getattr(old.windowing, name)]
    windowing = new.windowing.model_copy(update={name: getattr(old.windowing, name) for name in inner})
    update = {name: getattr(old, name) for name in fixed}
    return new.model_copy(update={**update, "windowing": windowing}), (*fixed, *(f"windowing.{name}" for name in inner))
