"""The forwarded body: the original one with the changed texts and the removed messages cut out of it."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.windowing import jsontext
from gateway.windowing.conversation import Text, places
from gateway.windowing.keep import Kept
from gateway.windowing.markers import between, marker
from gateway.windowing.parts import Key, Values, merged
from gateway.windowing.protect import Plan, Region
from gateway.windowing.spans import Edit, quoted, removals, spliced
from retrieval.types import Chunk


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The new body, and what was done for it.

    `messages` are the original indices of its messages, `changed` the texts that changed with their new value,
    `removed` the keys of the texts that went as whole parts of messages that stay.
    """

    body: str
    messages: tuple[int, ...]
    changed: tuple[tuple[Text, str], ...]
    removed: frozenset[Key] = frozenset()


class NoHostError(Exception):
    """Messages were to be removed, and no kept text may carry the marker that says so."""


def rewrite(plan: Plan, chunks: Sequence[Chunk], ranges: Sequence[tuple[int, int]], kept: Kept) -> Rewritten:
    """Return the body with only what is kept; `ranges` are the chunks of each document. Raises NoHostError."""
    values, removed = merged(plan, _cut_texts(plan, chunks, ranges, kept))
    for text, value in _announced(plan, kept.messages, values):
        values[text.key] = (text, value)
    changed = tuple((text, value) for text, value in values.values() if value != text.value)
    messages = plan.conversation.messages
    gone = removals([(m.start, m.end) for m in messages], [m.index in kept.messages for m in messages])
    body = spliced(plan.conversation.text, (*_replacements(plan, changed, removed), *gone))
    return Rewritten(body, tuple(sorted(kept.messages)), changed, removed)


def _replacements(plan: Plan, changed: Sequence[tuple[Text, str]], removed: frozenset[Key]) -> Iterator[Edit]:
    """Yield the edits that write each text's new value, in the style of the old one, and remove whole parts."""
    body = plan.conversation.text
    values = {text.key: value for text, value in changed}
    for index in sorted({message for message, _ in values.keys() | removed}):
        texts, parts = places(body, plan.conversation.messages[index])
        without = {place.part for n, place in enumerate(texts) if (index, n) in removed}
        yield from removals(parts, [n not in without for n in range(len(parts))]) if without else ()
        for n, place in enumerate(texts):
            if (index, n) in values:
                token = quoted(values[index, n], body[place.start : place.end].isascii())
                yield Edit(place.start, place.end, token)


def _cut_texts(plan: Plan, chunks: Sequence[Chunk], ranges: Sequence[tuple[int, int]], kept: Kept) -> Values:
    """Return the new value of each kept text that has regions, by where it stands."""
    pieces: dict[Key, tuple[Text, list[Edit]]] = {}
    for region, (first, last) in zip(plan.regions, ranges, strict=True):
        if region.text.message not in kept.messages:
            continue
        _, edits = pieces.setdefault(region.text.key, (region.text, []))
        held = kept.chunks[first:last]
        if held.all():
            continue
        if region.tree is not None:
            edits.append(_cut_json(region, region.tree, [i for i, k in enumerate(held.tolist()) if k]))
        else:
            edits += _gaps(
                region, [(c.start, c.end) for c, k in zip(chunks[first:last], held.tolist(), strict=True) if k]
            )
    return {key: (text, spliced(text.value, edits)) for key, (text, edits) in pieces.items()}


def _cut_json(region: Region, tree: jsontext.Slice, kept: Sequence[int]) -> Edit:
    return Edit(region.start, region.end, jsontext.rendered(region.value, tree, frozenset(kept)))


def _gaps(region: Region, kept: Iterable[tuple[int, int]]) -> Iterator[Edit]:
    """Yield the edits that put a marker in the place of each gap; blanks alone are no gap."""
    whole = region.text.value
    at = region.start
    for start, end in (*((region.start + a, region.start + b) for a, b in kept), (region.end, region.end)):
        gap = whole[at:start]
        if gap.strip():
            yield Edit(at, start, between(whole[:at][-1:], gap, whole[start : start + 1]))
        at = end


def _announced(plan: Plan, kept: frozenset[int], values: Values) -> Iterator[tuple[Text, str]]:
    """Yield the texts that carry the markers of removed messages, with those markers."""
    hosts = [r.text for r in plan.regions if r.tree is None and r.text.key in values]
    before: dict[Key, tuple[Text, int]] = {}
    after: dict[Key, tuple[Text, int]] = {}
    for place, count in _missing(len(plan.conversation.messages), kept):
        text, leads = _host(plan, hosts, place, place + count)
        side = before if leads else after
        side[text.key] = (text, count + side[text.key][1] if text.key in side else count)
    for key in before.keys() | after.keys():
        text = (before.get(key) or after[key])[0]
        value = values[key][1] if key in values else text.value
        head = marker(before[key][1], "message") + "\n" if key in before else ""
        tail = ("" if value.endswith("\n") else "\n") + marker(after[key][1], "message") if key in after else ""
        yield text, head + value + tail


def _missing(count: int, kept: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield (index of the first, number) of each run of removed messages."""
    first = 0
    for at in range(count + 1):
        if at == count or at in kept:
            if at > first:
                yield first, at - first
            first = at + 1


def _host(plan: Plan, hosts: Sequence[Text], first: int, after: int) -> tuple[Text, bool]:
    """Return the kept text that carries the marker of a gap (messages first..after-1), and whether the marker leads it.

    Of the texts that may be changed (`hosts`, in order) the one directly before the gap, else the one directly after
    it, else the nearest before, else the nearest after, else the question's own message. On either side of the
    question, none from the other side.
    """
    question = plan.question
    own = tuple(t for t in plan.conversation.messages[question].texts if t.editable)
    before = bisect_left(hosts, first, key=lambda t: t.message)
    earlier = tuple(t for t in hosts[max(0, before - 1) : before] if first < question or t.message >= question)
    later = tuple(t for t in hosts[before : before + 1] if first > question or t.message < question)
    choices = [(earlier, False), (later, True), (own[-1:], False) if first > question else (own[:1], True)]
    if later and later[0].message == after and not (earlier and earlier[0].message == first - 1):
        choices.insert(0, (later, True))
    for texts, leads in choices:
        if texts:
            return texts[0], leads
    raise NoHostError
