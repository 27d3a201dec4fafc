"""Messages of several texts: those of which nothing is kept go as a whole, and one marker in a neighbour says so."""

import itertools
from collections.abc import Iterator, Sequence

from gateway.windowing import markers
from gateway.windowing.conversation import Text
from gateway.windowing.protect import Plan

Key = tuple[int, int]
Values = dict[Key, tuple[Text, str]]


def merged(plan: Plan, values: Values) -> tuple[Values, frozenset[Key]]:
    """Return the values of the texts that stay, and the keys of those that go."""
    gone = frozenset(key for key, (text, value) in values.items() if value != text.value and _is_empty(value))
    trees = frozenset(r.text.key for r in plan.regions if r.tree is not None)
    kept = dict(values)
    removed: set[Key] = set()
    for run in _runs(plan, gone):
        texts = plan.conversation.messages[run[0].message].texts
        sign = markers.measure("\n".join(t.value for t in run))
        for host, leads in _neighbours(texts, run):
            if host.key in gone or host.key in trees or not host.editable:
                continue
            if host.key in values or host.message == plan.question:
                value = kept[host.key][1] if host.key in kept else host.value
                kept[host.key] = (host, f"{sign}\n{value}" if leads else f"{value}\n{sign}")
                removed.update(text.key for text in run)
                break
        else:
            # No neighbour may carry the marker. A text can be its own marker, a JSON result stays as it is.
            kept |= {text.key: (text, text.value) for text in run if text.key in trees}
    return {key: value for key, value in kept.items() if key not in removed}, frozenset(removed)


def _is_empty(value: str) -> bool:
    return not value.strip() or markers.pattern.fullmatch(value.strip()) is not None


def _runs(plan: Plan, gone: frozenset[Key]) -> Iterator[Sequence[Text]]:
    """Yield the runs of neighbouring texts that go, in messages that have more than one text."""
    for index in sorted({message for message, _ in gone}):
        texts = plan.conversation.messages[index].texts
        for empty, run in itertools.groupby(texts, key=lambda t: t.key in gone):
            if empty and len(texts) > 1:
                yield list(run)


def _neighbours(texts: Sequence[Text], run: Sequence[Text]) -> Iterator[tuple[Text, bool]]:
    """Yield the texts beside a run, and whether the marker leads them."""
    if run[0].place > 0:
        yield texts[run[0].place - 1], False
    if run[-1].place + 1 < len(texts):
        yield texts[run[-1].place + 1], True
