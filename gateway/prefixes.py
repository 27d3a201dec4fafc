"""What a provider's prompt cache would have held: the prefixes of original prompts that were sent a short time ago.

Providers bill a prompt's cached prefix at a discount. A window breaks that prefix, so the discount that the original
would have had is taken off the saving. What is found here is the most that could have been cached.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice

import msgspec

from gateway.windowing.measuring import MAX_BYTES
from retrieval.tokens import counter_for

_WORTH_CACHING = 4096  # bytes of a body: providers cache prompts of 1,024 tokens and more
_FIRST = 1024  # bytes of a section: what has less in common has fewer tokens than any provider caches
_BLOCK = 2048
# Providers keep a prefix for 5 to 10 minutes after its last use; longer at off-peak times, so the longer one counts.
_LIFETIME_S = 600.0
_DAY_S = 86_400.0  # where the caller asks for it
_MOST = 65536
_FORGOTTEN = 1024  # the oldest, together, where there are too many
_INLINE = 262_144  # bytes of a body that is looked through at once; a longer one in a thread
_COUNTED_INLINE = 16384
# What models read of a body: other fields, such as the user or the temperature, are no part of what is cached.
_CHAT = (b'"messages"', b'"tools"')
_RESPONSES = (b'"input"', b'"tools"', b'"instructions"')
_COLON = re.compile(rb"\s*:")


class _Section(msgspec.Struct, frozen=True, gc=False):
    """A part of a body that is cached by itself, by what it begins with: `digests` of its beginnings up to `ends`."""

    start: int
    end: int
    digests: list[int]
    ends: list[int]


Reading = asyncio.Task[list[_Section]]


class PrefixMemory:
    """Remembers digests of prefixes of prompts, block by block, for as long as a provider's cache may live."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}  # until when; the latest last
        self._reading: set[Reading] = set()

    def read(self, body: bytes) -> Reading | None:
        """Look through a prompt that is forwarded whole, when the event loop turns: while its answer is waited for.

        None for one that is too short to be cached.
        """
        if len(body) <= _WORTH_CACHING:
            return None
        reading = asyncio.create_task(_sections_apart(body))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return reading

    def note(self, upstream: str, model: str | None, reading: Reading, a_day: bool = False) -> None:
        """Remember such a prompt where it has gone: a window of the next one forgoes its discount."""
        reading.add_done_callback(partial(self._noted, upstream, model, a_day))

    def _noted(self, upstream: str, model: str | None, a_day: bool, reading: Reading) -> None:
        if not reading.cancelled():  # as all that still runs is when the gateway stops
            self._remember(_of(upstream, model, reading.result()), a_day)

    async def remember(self, upstream: str, model: str | None, body: bytes, a_day: bool = False) -> bytes:
        """Remember the prompt; return what it has in common with the beginnings of earlier ones, or a little more.

        `a_day`: its caller asks for it to be cached so long.
        """
        sections = _of(upstream, model, await _sections_apart(body))
        now = time.monotonic()
        warm = b"".join([body[section.start : self._warm_until(section, now)] for section in sections])
        self._remember(sections, a_day)
        return warm

    def _warm_until(self, section: _Section, now: float) -> int:
        """Return where the warm part ends at the latest: somewhere in the first block that is not known."""
        for place, digest in enumerate(section.digests):
            if self._seen.get(digest, now) <= now:
                return section.ends[place] if place else section.start
        return section.end if section.digests else section.start

    def _remember(self, sections: list[_Section], a_day: bool) -> None:
        seen, until = self._seen, time.monotonic() + (_DAY_S if a_day else _LIFETIME_S)
        for digest in chain.from_iterable(section.digests for section in sections):
            known = seen.pop(digest, until)  # and to the end
            seen[digest] = known if known > until else until
        while len(seen) > _MOST:
            for digest in list(islice(seen, _FORGOTTEN)):
                del seen[digest]


def _of(upstream: str, model: str | None, sections: list[_Section]) -> list[_Section]:
    """Return the sections with digests that stand for an upstream's cache of a model's prompts."""
    owner = hash((upstream, model))
    return [
        msgspec.structs.replace(section, digests=[hash((owner, digest)) for digest in section.digests])
        for section in sections
    ]


async def tokens_of(model: str | None, text: bytes) -> int:
    """Return the tokens of a part of a body, in its JSON: no fewer than the model reads in it."""
    if len(text) <= _COUNTED_INLINE:
        return _tokens_of(model, text)
    return await asyncio.to_thread(_tokens_of, model, text)


def _tokens_of(model: str | None, text: bytes) -> int:
    return counter_for(model).recall(text.decode("utf-8", "replace"))


async def _sections_apart(body: bytes) -> list[_Section]:
    """Look through a body, a long one in a thread."""
    return _sections(body) if len(body) <= _INLINE else await asyncio.to_thread(_sections, body)


def _sections(body: bytes) -> list[_Section]:
    end = min(len(body), MAX_BYTES)  # None that is windowed has more of it.
    starts = sorted(_starts(body)) or [(0, b"")]
    edges = [start for start, _ in starts[1:]] + [end]
    return [
        _section(name, body, start, until) for (start, name), until in zip(starts, edges, strict=True) if start < end
    ]


def _starts(body: bytes) -> Iterator[tuple[int, bytes]]:
    messages = _place_of(_CHAT[0], body)
    for name in _RESPONSES if messages is None else _CHAT:
        if (found := _place_of(name, body)) is not None:
            yield found, name


def _place_of(name: bytes, body: bytes) -> int | None:
    """Return where the field of that name begins; in a text it would stand with its quotes escaped."""
    found = body.find(name)
    while found >= 0 and not _COLON.match(body, found + len(name)):
        found = body.find(name, found + 1)
    return found if found >= 0 else None


def _section(name: bytes, body: bytes, start: int, end: int) -> _Section:
    # Python's own hash is keyed anew in each process, and six times as fast as a cryptographic one. Were two beginnings
    # ever taken for the same, a saving would be shown as smaller than it is.
    digest, digests = hash(name), []
    ends = list(range(start + _FIRST, end + 1, _BLOCK))
    for begin, stop in zip([start, *ends], ends, strict=False):
        digest = hash((digest, body[begin:stop]))
        digests.append(digest)
    return _Section(start, end, digests, ends)
