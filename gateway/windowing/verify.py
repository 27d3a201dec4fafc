"""The last look at a changed body before it is forwarded, by other means than those that made it."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from gateway.windowing import markers
from gateway.windowing.conversation import RESULTS, Message, places
from gateway.windowing.parts import Key
from gateway.windowing.protect import Plan
from gateway.windowing.reading import read
from gateway.windowing.rewrite import Rewritten


class BrokenRequestError(Exception):
    """The changed body is not the original one with parts left out; the message says in which way."""


def verify(plan: Plan, new: Rewritten) -> bytes:
    """Return the changed body as bytes; raises BrokenRequestError unless all that must hold of it holds."""
    old = plan.conversation
    body = new.body.encode("utf-8", "surrogatepass")
    again = read(body, old.api)
    if again is None or len(again.messages) != len(new.messages):
        raise BrokenRequestError("messages lost")
    if new.body[: again.start] != old.text[: old.start] or new.body[again.end :] != old.text[old.end :]:
        raise BrokenRequestError("another field changed")
    if len(body) >= len(old.text.encode("utf-8", "surrogatepass")):
        raise BrokenRequestError("not smaller")
    sources = [old.messages[i] for i in new.messages]
    if any(a.index >= b.index for a, b in itertools.pairwise(sources)):
        raise BrokenRequestError("out of order")
    _check_required(plan, new.messages)
    _check_led(old.messages, new.messages)
    for source, message in zip(sources, again.messages, strict=True):
        if old.text[source.start : source.end] == new.body[message.start : message.end]:
            continue
        _check_message(source, message, new.removed)
        if _frame(old.text, source, new.removed) != _frame(new.body, message):
            raise BrokenRequestError("a message changed outside its texts")
    _check_protected(plan, dict(zip(new.messages, again.messages, strict=True)), new.removed)
    if _unpaired(again.messages) - _unpaired(old.messages):
        raise BrokenRequestError("tool calls and results no longer match")
    return body


def _check_required(plan: Plan, kept: Sequence[int]) -> None:
    there = set(kept)
    if not plan.pinned <= there:
        raise BrokenRequestError("a protected message is missing")


def _check_led(messages: Sequence[Message], kept: Sequence[int]) -> None:
    """What leads to the assistant's next message, or to results, still stands before it."""
    there = set(kept)
    for before, after in itertools.pairwise(messages):
        follows = after.role == "assistant" or after.role in RESULTS
        if before.leads and follows and (before.index in there) != (after.index in there):
            raise BrokenRequestError("what leads to a message, or that message, is missing")


def _check_message(old: Message, new: Message, removed: frozenset[Key]) -> None:
    """What a model reads of the message is what it was, or less of it."""
    texts = [text for text in old.texts if text.key not in removed]
    same = (old.role, old.fixed, old.calls, old.answers, old.name, old.attachments, len(texts))
    if same != (new.role, new.fixed, new.calls, new.answers, new.name, new.attachments, len(new.texts)):
        raise BrokenRequestError("a message changed")
    for before, after in zip(texts, new.texts, strict=True):
        if before.value != after.value:
            if not after.value.strip() or not _stands_in(before.value, after.value):
                raise BrokenRequestError("a text is not what it was with parts left out")
            if old.role in RESULTS and _parses(before.value) and not _parses(after.value):
                raise BrokenRequestError("a JSON result no longer parses")


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _frame(body: str, message: Message, removed: frozenset[Key] = frozenset()) -> list[str]:
    """Return all of the message but its texts, and but the parts that were removed with their commas."""
    texts, parts = places(body, message)
    cut = [(p.start, p.end) for p in texts]
    gone = {p.part for text, p in zip(message.texts, texts, strict=True) if text.key in removed}
    if not parts:
        return [*_between(body, message.start, cut, message.end)]
    stay = [span for at, span in enumerate(parts) if at not in gone]
    inside = ("".join(_between(body, a, [c for c in cut if a <= c[0] < b], b)) for a, b in stay)
    return [body[message.start : parts[0][0]], *inside, body[parts[-1][1] : message.end]]


def _between(body: str, start: int, spans: Sequence[tuple[int, int]], end: int) -> Iterator[str]:
    """Yield what stands outside the spans."""
    for a, b in spans:
        yield body[start:a]
        start = b
    yield body[start:end]


def _stands_in(old: str, new: str) -> bool:
    """Whether every run between markers stands in the old text, in the same order."""
    at = 0
    for piece in markers.pattern.split(new):
        # A JSON result's marker has quotes, a comma, sometimes a key around it: its lines are looked for one by one.
        for line in _lines(piece):
            found = old.find(line, at)
            if found < 0:
                return False
            at = found + len(line)
    return True


def _lines(piece: str) -> Iterator[str]:
    for line in piece.split("\n"):
        # Quotes and a comma are what is left of a marker among JSON values.
        if (run := line.strip()) and not run.startswith('"…') and run not in ('"', '",'):
            yield run


def _check_protected(plan: Plan, kept: dict[int, Message], removed: frozenset[Key]) -> None:
    """Every stretch outside the regions is there, word for word."""
    trimmed: dict[Key, list[tuple[int, int]]] = {}
    for region in plan.regions:
        trimmed.setdefault(region.text.key, []).append((region.start, region.end))
    for index, message in kept.items():
        left = iter(message.texts)
        for before in plan.conversation.messages[index].texts:
            stretches = [s for s in _between(before.value, 0, trimmed.get(before.key, ()), len(before.value)) if s]
            if before.key in removed:
                found = not any(s.strip() for s in stretches)
            else:
                found = _in_order(stretches, next(left).value)
            if not found:
                raise BrokenRequestError("a protected text is missing")


def _in_order(stretches: Sequence[str], text: str) -> bool:
    at = 0
    for stretch in stretches:
        at = text.find(stretch, at)
        if at < 0:
            return False
        at += len(stretch)
    return True


def _unpaired(messages: Sequence[Message]) -> Counter[str]:
    """The ids of calls without a result directly after them, and of results without a call before them."""
    found: Counter[str] = Counter()
    for called, answered in _groups(messages):
        found += (called - answered) + (answered - called)
    return found


def _groups(messages: Sequence[Message]) -> Iterator[tuple[Counter[str], Counter[str]]]:
    called: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    leads = False
    for message in messages:
        if message.role in RESULTS:
            answered[message.answers] += 1
            continue
        if not leads or answered:
            yield called, answered
            called, answered = Counter(), Counter()
        called.update(c.id for c in message.calls)
        leads = message.leads
    yield called, answered
