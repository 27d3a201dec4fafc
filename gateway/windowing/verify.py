"""The last look at a changed body before it is forwarded, by other means than those that made it."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from gateway.windowing import markers
from gateway.windowing.conversation import RESULTS, Message, read, spans
from gateway.windowing.protect import Plan
from gateway.windowing.rewrite import Rewritten


class BrokenRequestError(Exception):
    """The changed body is not the original one with parts left out; the message says in which way."""


def verify(plan: Plan, new: Rewritten) -> bytes:
    """Return the changed body as bytes; raises BrokenRequestError unless all that must hold of it holds."""
    old = plan.conversation
    body = new.body.encode("utf-8", "surrogatepass")
    again = read(body)
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
    for source, message in zip(sources, again.messages, strict=True):
        if old.text[source.start : source.end] == new.body[message.start : message.end]:
            continue
        _check_message(source, message)
        _check_frame(old.text, source, new.body, message)
    _check_protected(plan, dict(zip(new.messages, again.messages, strict=True)))
    if _unpaired(again.messages) - _unpaired(old.messages):
        raise BrokenRequestError("tool calls and results no longer match")
    return body


def _check_required(plan: Plan, kept: Sequence[int]) -> None:
    there = set(kept)
    if not plan.pinned <= there:
        raise BrokenRequestError("a protected message is missing")


def _check_message(old: Message, new: Message) -> None:
    """What a model reads of the message is what it was, or less of it."""
    same = (old.role, old.fixed, old.calls, old.answers, old.name, old.attachments, len(old.texts))
    if same != (new.role, new.fixed, new.calls, new.answers, new.name, new.attachments, len(new.texts)):
        raise BrokenRequestError("a message changed")
    for before, after in zip(old.texts, new.texts, strict=True):
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


def _check_frame(old: str, before: Message, new: str, after: Message) -> None:
    """All of the message but its texts is the same, character for character."""
    if list(_outside(old, before)) != list(_outside(new, after)):
        raise BrokenRequestError("a message changed outside its texts")


def _outside(body: str, message: Message) -> Iterator[str]:
    at = message.start
    for start, end in spans(body, message):
        yield body[at:start]
        at = end
    yield body[at : message.end]


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


def _check_protected(plan: Plan, kept: dict[int, Message]) -> None:
    """Every stretch outside the regions is there, word for word."""
    trimmed: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for region in plan.regions:
        trimmed.setdefault(region.text.key, []).append((region.start, region.end))
    for index, message in kept.items():
        for before, after in zip(plan.conversation.messages[index].texts, message.texts, strict=True):
            edges = [0, *(e for span in trimmed.get(before.key, ()) for e in span), len(before.value)]
            at = 0
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                at = after.value.find(before.value[start:end], at)
                if at < 0:
                    raise BrokenRequestError("a protected text is missing")
                at += end - start


def _unpaired(messages: Sequence[Message]) -> Counter[str]:
    """The ids of calls without a result directly after them, and of results without a call before them."""
    found: Counter[str] = Counter()
    for called, answered in _groups(messages):
        found += (called - answered) + (answered - called)
    return found


def _groups(messages: Sequence[Message]) -> Iterator[tuple[Counter[str], Counter[str]]]:
    called: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for message in messages:
        if message.role in RESULTS:
            answered[message.answers] += 1
            continue
        yield called, answered
        called, answered = Counter(c.id for c in message.calls), Counter()
    yield called, answered
