"""What upstreams have done in this worker since its start, for operators to look at; metrics have all workers'."""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.record import RequestRecord
from gateway.upstreams.attempts import Outcome

_LATEST = 500  # answers whose times are remembered of each upstream


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one upstream: attempts by how they ended, times of latest heads in milliseconds, in order."""

    outcomes: dict[Outcome, int]
    heads: tuple[float, ...]

    def head_ms(self, share: float) -> float | None:
        """Return the time within which this share of the latest heads came; None where none came."""
        return self.heads[min(int(share * len(self.heads)), len(self.heads) - 1)] if self.heads else None


class Traffic:
    """Counts attempts at upstreams by finished requests' records."""

    def __init__(self) -> None:
        self._outcomes: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
        self._heads: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_LATEST))

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        """Count the attempts of finished requests."""
        for record in records:
            for attempt in record.attempts:
                self._outcomes[attempt.candidate.upstream][attempt.outcome] += 1
            # Of several attempts nobody knows which took how long.
            if len(record.attempts) == 1 and record.stages.upstream_head is not None:
                self._heads[record.attempts[0].candidate.upstream].append(record.stages.upstream_head)

    def of(self, upstream: str) -> Seen:
        """Return what was seen of an upstream."""
        outcomes = self._outcomes.get(upstream, Counter[Outcome]())
        return Seen({outcome: outcomes[outcome] for outcome in Outcome}, tuple(sorted(self._heads.get(upstream, ()))))
