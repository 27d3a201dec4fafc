"""What is kept word for word, and what may be trimmed: the decisions made before anything is ranked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.windowing import jsontext
from gateway.windowing.conversation import INSTRUCTING, RESULTS, Conversation, Message, Text
from gateway.windowing.counting import Tally, readable
from gateway.windowing.instructions import PROTECTED_TOKENS, reference_spans
from gateway.windowing.lexicon import QUESTION_MARK, STANDING
from gateway.windowing.question import WHOLE_BYTES, QuestionSplit, split_question
from gateway.windowing.turns import Item, Turn, items_of, turns_of
from retrieval.types import Atom, Document, Query

RECENT_TOKENS = 500  # of the last turns that stay as they are, beside the window
RECENT_SHARE = 0.75  # of an agent's window that may be spent on its last steps: what comes next builds on them
LATEST_CHARACTERS = 2_000  # of the one message directly before the question that stays as it is
LATEST_GROUP_TOKENS = 2_000  # of an agent's latest tool calls and results, after the question, that stay whole
_BESIDE_ATTACHMENT_TOKENS = 200  # a longer text beside an image may be trimmed
_PASTED_CHARACTERS = 12_000  # of an earlier message of the user that holds material beside what it asked
_ASKED_CHARACTERS = 1_000  # of what it asked, which then stays with whatever is kept of the message
_ORDER_CHARACTERS = 600  # of a user's message that may say how to answer from then on
_ORDERS_CHARACTERS = 2_000  # of all such messages, the latest of them
_RECENT_TEXTS = 4
_RECENT_CHARACTERS = 2_000
_NAME_CHARACTERS = 300
_TERSE = 24  # characters of an answer that says nothing by itself
_BREAK = "\n\n"


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a text that may be trimmed: text.value[start:end]; `tree` where it is a JSON tool result."""

    text: Text
    start: int
    end: int
    tree: jsontext.Slice | None = None

    @property
    def value(self) -> str:
        """The text of the region."""
        return self.text.value[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Plan:
    """The regions that may be trimmed (in order of the request) with their documents; all else is protected.

    Messages in `pinned` are not removed, those in `led` because of what leads to them; `question` is the index of the
    last user message, which evidently asks if `asked`; `instructions` is what the system messages say besides their
    reference material; `window_tokens` is what is left of the window for text from the regions.
    """

    conversation: Conversation
    turns: tuple[Turn, ...]
    regions: tuple[Region, ...]
    documents: tuple[Document, ...]
    pinned: frozenset[int]
    led: frozenset[int]
    question: int
    query: Query
    asked: bool
    instructions: str
    window_tokens: int


def plan(conversation: Conversation, tally: Tally, window_tokens: int) -> Plan | None:
    """Decide what may be trimmed; None where no user asks anything."""
    messages = conversation.messages
    question = max((m.index for m in messages if m.role == "user"), default=-1)
    if question < 0 or not any(t.value.strip() for t in messages[question].texts):
        return None
    items = tuple(items_of(messages))
    recent = _recent_items(messages, items, tally, question, window_tokens)
    spent = max(0, sum(tally.message(i) for i in recent) - RECENT_TOKENS)
    whole = recent | frozenset(_whole(messages, items, tally, question))
    led = frozenset(_led(messages, items))
    asks, split = _question(messages, question)
    regions = tuple(
        region
        for message in messages
        if message.index not in whole
        for region in (asks if message.index == question else _regions(messages, message, tally.texts[message.index]))
    )
    return Plan(
        conversation,
        tuple(turns_of(messages, items)),
        regions,
        tuple(_documents(messages, items, regions)),
        whole | led | frozenset(_pinned(messages, items, question)),
        led,
        question,
        Query(split.query, tuple(_recent(messages, question))),
        split.evident,
        _BREAK.join(filter(None, (conversation.instructions, *_instructions(messages, regions)))),
        window_tokens - spent,
    )


def answered(plan: Plan) -> Text | None:
    """Return what the last user message is an answer to, or an order about: what the assistant said just before it.

    None in an agent's run, whose steps stand between.
    """
    messages = plan.conversation.messages
    before = messages[plan.question - 1] if plan.question else None
    if before is None or before.role != "assistant" or not before.texts or any(m.calls for m in messages):
        return None
    return before.texts[-1]


def is_terse(plan: Plan) -> bool:
    """Whether the last user message says nothing by itself: "Yes, please.", "go on"."""
    return len(plan.query.text.strip()) <= _TERSE and not QUESTION_MARK.search(plan.query.text)


def _whole(messages: Sequence[Message], items: Sequence[Item], tally: Tally, question: int) -> Iterator[int]:
    """Yield the messages that are forwarded exactly as they are."""
    # A mark of cache_control covers all that stands before it: the provider bills that prefix at a tenth once it
    # is cached, and a single changed byte in it would be billed, and written to the cache, anew.
    yield from range(max((m.index for m in messages if m.cached), default=-1) + 1)
    yield from (m.index for m in messages if not m.understood)
    yield from (i for item in items if not item.paired for i in item.messages)
    for message in messages:
        if message.attachments and sum(tally.texts[message.index]) <= _BESIDE_ATTACHMENT_TOKENS:
            yield message.index
    yield from _standing(messages[:question])
    yield from _latest(messages, items, tally, question)


def _standing(before: Sequence[Message]) -> Iterator[int]:
    """Yield a user's earlier messages that hold for whatever follows: "From now on answer in French."."""
    left = _ORDERS_CHARACTERS
    for message in reversed(before):
        short = message.role == "user" and message.length <= _ORDER_CHARACTERS
        if short and any(STANDING.search(text.value) for text in message.texts):
            left -= message.length
            if left < 0:
                return
            yield message.index


def _latest(messages: Sequence[Message], items: Sequence[Item], tally: Tally, question: int) -> Iterator[int]:
    """Yield the message directly before the question, and an agent's latest step after it."""
    before = next((m for m in reversed(messages[:question]) if m.role not in INSTRUCTING), None)
    if before and before.role not in RESULTS and not before.calls and before.length <= LATEST_CHARACTERS:
        yield before.index
    if items[-1].first > question and sum(map(tally.message, items[-1].messages)) <= LATEST_GROUP_TOKENS:
        yield from items[-1].messages


def _recent_items(
    messages: Sequence[Message], items: Sequence[Item], tally: Tally, question: int, window_tokens: int
) -> frozenset[int]:
    """Return the last messages before the question, and before an agent's latest step after it, as far as they fit."""
    agent = any(m.calls for m in messages)
    left = RECENT_TOKENS + (int(RECENT_SHARE * window_tokens) if agent else 0)
    found: list[int] = []
    for item in reversed(items):
        latest = question in item.messages or (item is items[-1] and item.first > question)
        if messages[item.first].role in INSTRUCTING or latest:
            continue
        left -= sum(map(tally.message, item.messages))
        if left < 0:
            break
        found += item.messages
    return frozenset(found)


def _pinned(messages: Sequence[Message], items: Sequence[Item], question: int) -> Iterator[int]:
    """Yield the messages that stay, though their texts may be cut."""
    yield question
    yield from items[-1].messages
    yield from (m.index for m in messages if m.attachments or m.role in INSTRUCTING)
    yield from (m.index for m in messages if any(not t.editable for t in m.texts))


def _led(messages: Sequence[Message], items: Sequence[Item]) -> Iterator[int]:
    """Yield the messages of items that hold one which is left alone and leads to the next."""
    for item in items:
        own = messages[item.first : item.last]
        if any(m.leads and not m.understood for m in own):
            yield from (m.index for m in own)


def _question(messages: Sequence[Message], question: int) -> tuple[tuple[Region, ...], QuestionSplit]:
    """Return what may be trimmed in the last user message, and what it asks."""
    texts = messages[question].texts
    short = [t for t in texts if len(t.value) <= WHOLE_BYTES]
    if 0 < len(short) < len(texts) and sum(len(t.value) for t in short) <= WHOLE_BYTES:
        # A client that sends parts has already told the pasted document from the question beside it.
        asked = split_question(_BREAK.join(t.value for t in short))
        long = [t for t in texts if len(t.value) > WHOLE_BYTES]
        splits = {t.key: split_question(t.value) for t in (long[0], long[-1])}
        regions = tuple(r for t in long for r in _between(t, splits[t.key].asks if t.key in splits else ()))
        return regions, _with_questions(asked, tuple(splits.values()))
    joined = _BREAK.join(t.value for t in texts)
    split = split_question(joined, sum(m.length for m in messages) - messages[question].length)
    return tuple(_outside(texts, split.asks)), split


def _with_questions(asked: QuestionSplit, long: Sequence[QuestionSplit]) -> QuestionSplit:
    """Return what is asked beside pasted documents with what is asked in them, where it is no question by itself."""
    questions = [split.query for split in long if split.evident and QUESTION_MARK.search(split.query)]
    if QUESTION_MARK.search(asked.query) or not questions:
        return asked
    return replace(asked, query="\n".join([*questions, asked.query]))


def _outside(texts: Sequence[Text], asks: Sequence[tuple[int, int]]) -> Iterator[Region]:
    """Yield the regions of texts that were joined by breaks, outside the spans of the joined text."""
    base = 0
    for text in texts:
        end = base + len(text.value)
        yield from _between(text, [(max(a, base) - base, min(b, end) - base) for a, b in asks if a < end and b > base])
        base = end + len(_BREAK)


def _between(text: Text, protected: Sequence[tuple[int, int]]) -> Iterator[Region]:
    """Yield the regions of the text outside the protected spans; blanks at their edges stay."""
    edges = [0, *(edge for span in protected for edge in span), len(text.value)]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield from _region(text, start, end)


def _region(text: Text, start: int, end: int) -> Iterator[Region]:
    part = text.value[start:end]
    if text.editable and part.strip():
        # Blanks between what is protected and what is trimmed belong to the protected side.
        yield Region(text, end - len(part.lstrip()), start + len(part.rstrip()))


def _regions(messages: Sequence[Message], message: Message, tokens: Sequence[int]) -> Iterator[Region]:
    if message.role == "user" and message.length > _PASTED_CHARACTERS:
        # Told apart as when it was asked, its material is the text that was read then, and is not read again.
        asked, _ = _question(messages, message.index)
        if message.length - sum(r.end - r.start for r in asked) <= _ASKED_CHARACTERS:
            yield from asked
            return
    for text, size in zip(message.texts, tokens, strict=True):
        if not text.editable:
            continue
        if message.role in INSTRUCTING:
            for start, end in () if size <= PROTECTED_TOKENS else reference_spans(text.value):
                yield from _region(text, start, end)
        elif message.role in RESULTS and (tree := jsontext.parse(readable(text.value))):
            yield Region(text, 0, len(text.value), tree)
        elif text.value:
            yield from _region(text, 0, len(text.value))


def _instructions(messages: Sequence[Message], regions: Sequence[Region]) -> Iterator[str]:
    """Yield what the system messages say outside the regions."""
    of_text: dict[tuple[int, int], list[Region]] = {}
    for region in regions:
        of_text.setdefault(region.text.key, []).append(region)
    for text in (t for m in messages if m.role in INSTRUCTING for t in m.texts):
        at = 0
        for region in of_text.get(text.key, ()):
            yield text.value[at : region.start]
            at = region.end
        yield text.value[at:]


def _documents(messages: Sequence[Message], items: Sequence[Item], regions: Sequence[Region]) -> Iterator[Document]:
    names = dict(_call_names(messages, items))
    for region in regions:
        index = region.text.message
        role = messages[index].role
        yield Document(
            readable(region.value), role, index, names.get(index, "") or messages[index].name, _atoms(region)
        )


def _atoms(region: Region) -> tuple[Atom, ...] | None:
    if region.tree is None:
        return None
    return tuple(Atom(leaf.start, leaf.end, leaf.heading) for leaf in jsontext.atoms(region.tree))


def _call_names(messages: Sequence[Message], items: Sequence[Item]) -> Iterator[tuple[int, str]]:
    """Yield for each tool result what was called: by its id within its own group, else by its place."""
    for item in items:
        own = messages[item.first : item.last]
        calls = [call for message in own for call in message.calls]
        by_id = {call.id: call for call in reversed(calls) if call.id}
        for result, placed in zip((m for m in own if m.role in RESULTS), calls, strict=False):
            call = by_id.get(result.answers, placed)
            yield result.index, f"{call.name} {call.arguments}"[:_NAME_CHARACTERS]


def _recent(messages: Sequence[Message], question: int) -> Iterator[str]:
    """Yield the last things said before the question, and after it, latest last."""
    said = [m for m in messages if m.role in ("user", "assistant") and m.length and m.index != question]
    for message in said[-_RECENT_TEXTS:]:
        text = " ".join(t.value for t in message.texts)
        yield readable(text[-_RECENT_CHARACTERS:])
