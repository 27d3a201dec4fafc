"""Finished requests added up before they are counted: of several together most are of the same team and model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.record import RequestRecord
from gateway.store.entries import State
from gateway.windowing.types import Decision, Reason

_SETTLED = State.SETTLED


@dataclass(frozen=True, slots=True)
class Labels:
    """What the metrics tell requests apart by."""

    team: str
    model: str
    status: str
    decision: Decision | None
    reason: Reason | None

    @property
    def who(self) -> tuple[str, str]:
        """Whose requests they are, and for which model."""
        return self.team, self.model


@dataclass(slots=True)
class Tally:
    """What some requests come to; times in seconds. Of what none of them has there is no key, or an empty list."""

    seconds: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    usage: Counter[str] = field(default_factory=Counter)  # by kind of token
    prompts: Counter[str] = field(default_factory=Counter)  # tokens: original, forwarded, saved
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by upstream and outcome
    errors: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    cost: float | None = None  # USD
    saved: float | None = None

    def add(self, record: RequestRecord) -> None:
        """Add a request."""
        stages, cost = record.stages, record.cost
        self.seconds.append(stages.total / 1e3)
        self.overheads.append(stages.overhead / 1e3)
        if stages.first_byte is not None:
            self.first_bytes.append(stages.first_byte / 1e3)
        for attempt in record.attempts:
            self.attempts[attempt.candidate.upstream, attempt.outcome] += 1
        if record.error:
            self.errors[record.error] += 1
        self.gone += record.client_gone
        if cost.usd is not None:
            self.cost = (self.cost or 0.0) + float(cost.usd)
        if cost.saved_usd is not None:
            self.saved = (self.saved or 0.0) + float(cost.saved_usd)
        if record.usage is not None and record.state is _SETTLED:
            self._add_usage(record)
        if record.decision is not None and record.reason is not None:
            self._add_window(record)

    def _add_usage(self, record: RequestRecord) -> None:
        if (usage := record.usage) is not None:
            kinds = self.usage
            kinds["input"] += max(usage.prompt - usage.cached, 0)
            kinds["input_cached"] += usage.cached
            kinds["output"] += max(usage.completion - usage.reasoning, 0)
            kinds["output_reasoning"] += usage.reasoning

    def _add_window(self, record: RequestRecord) -> None:
        if record.skipped:
            self.skipped.update(record.skipped)
        if record.tokens_original is None and record.confidence is None:
            return  # nobody looked into it, as at most requests
        if record.confidence is not None:
            self.confidences.append(record.confidence)
        original, forwarded, saved = record.tokens_original, record.tokens_forwarded, record.tokens_saved
        if original is not None and forwarded is not None and saved is not None:  # answered well
            self.prompts.update(original=original, forwarded=forwarded, saved=saved)


def tallied(records: Sequence[RequestRecord]) -> dict[Labels, Tally]:
    """Return what the requests come to, by labels."""
    tallies: dict[tuple[object, ...], tuple[Labels, Tally]] = {}
    for record in records:
        key = (record.team, record.model_label, record.status, record.decision, record.reason)
        if (found := tallies.get(key)) is None:
            labels = Labels(record.team, record.model_label, str(record.status), record.decision, record.reason)
            found = tallies[key] = (labels, Tally())
        found[1].add(record)
    return dict(tallies.values())
