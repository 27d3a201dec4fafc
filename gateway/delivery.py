"""Relaying a reply to the client: as it is, piece by piece, with an eye on the usage that it reports."""

import time

import msgspec

from gateway import headers
from gateway.encoding import Decode, UndecodableError, decoder
from gateway.errors import GatewayError, UpstreamUnreachableError
from gateway.exchange import Exchange
from gateway.sse import EventRelay
from gateway.upstreams.upstream import Headers, UpstreamReply
from gateway.usage import Relayed, Reported, Usage, reported

# Of a reply larger than this, as thousands of embeddings are, only the end is kept: that is where the usage stands.
_LARGEST_ACCOUNTED = 1 << 24
_END = 1 << 12
_GARBLED = UpstreamUnreachableError("The upstream's reply is not what its Content-Encoding says.")


class BrokenReplyError(Exception):
    """The reply can't be completed and can't be turned into an error any more: the connection is to be closed."""


class Delivery(msgspec.Struct):
    """How far a reply has come; filled in as it is relayed, so that an early end leaves what was known.

    `completed`: all of it has been passed on, to the end that the upstream gave it. A stream that the upstream broke
    off, so that the gateway had to end it, is not complete.
    """

    status: int = 0
    first_byte: float | None = None
    usage: Usage | None = None
    model: str | None = None
    error: str | None = None
    completed: bool = False
    events: EventRelay | None = None

    @property
    def relayed(self) -> Relayed:
        """How much of a streamed answer has been passed on up to now; nothing of what is no event stream."""
        return self.events.relayed if self.events else Relayed()


async def relay(
    exchange: Exchange, reply: UpstreamReply, extra: Headers, delivery: Delivery, drop_usage: bool = False
) -> None:
    """Send a reply on and note its usage; `drop_usage` leaves out the usage chunk nobody but we asked for.

    Raises:
        BrokenReplyError: the upstream broke off in a reply that an error event can't end.
    """
    delivery.status = reply.status
    encoding = reply.header(b"content-encoding")
    decode = _decoder_or_none(encoding)
    events = _is(reply, "text/event-stream")
    whole = None if events else reply.whole()
    if whole is not None:
        await _relay_whole(exchange, reply, whole, extra, delivery, _Copy.of(reply, decode, events))
    elif events and (not encoding or (drop_usage and decode)):
        await _relay_stream(exchange, reply, extra, delivery, EventRelay(drop_usage), decode if encoding else None)
    else:
        await _relay_as_it_is(exchange, reply, extra, delivery, _Copy.of(reply, decode, events))


async def _relay_whole(  # noqa: PLR0913, PLR0917 - as _relay_stream
    exchange: Exchange, reply: UpstreamReply, whole: bytes, extra: Headers, delivery: Delivery, copy: "_Copy"
) -> None:
    """Send on a reply that is here to its last byte, in one piece."""
    copy.add(whole)
    delivery.usage, delivery.model = copy.reported()
    delivery.completed = True
    await exchange.start(reply.status, headers.to_client(reply.headers) + extra)
    delivery.first_byte = time.perf_counter() if whole else None
    await exchange.end(whole)


async def _relay_as_it_is(
    exchange: Exchange, reply: UpstreamReply, extra: Headers, delivery: Delivery, copy: "_Copy"
) -> None:
    delivery.events = copy.events
    await exchange.start(reply.status, headers.to_client(reply.headers) + extra)
    try:
        async for piece in reply.chunks():
            delivery.first_byte = delivery.first_byte or time.perf_counter()
            copy.add(piece)
            await exchange.write(piece)
    except GatewayError as error:
        delivery.error = error.code
        raise BrokenReplyError(str(error)) from None
    finally:
        # Of a reply that has come whole the usage is known, also if the client leaves before it has taken it all.
        delivery.usage, delivery.model = copy.reported()
    await exchange.end()
    delivery.completed = True


async def _relay_stream(  # noqa: PLR0913, PLR0917 - one value a stage; a bundle of them would be made for this call only
    exchange: Exchange,
    reply: UpstreamReply,
    extra: Headers,
    delivery: Delivery,
    events: EventRelay,
    decode: Decode | None,
) -> None:
    # To leave an event out, a stream has to go out decoded and without the length it had.
    untrue = frozenset((b"content-encoding", b"content-length")) if events.drop_usage else frozenset[bytes]()
    delivery.events = events
    await exchange.start(reply.status, headers.to_client(reply.headers, untrue) + extra)
    try:
        await _relay_events(exchange, reply, delivery, events, decode)
    except (GatewayError, UndecodableError) as error:
        said = error if isinstance(error, GatewayError) else _GARBLED
        delivery.error = said.code
        if reply.header(b"content-length") and not events.drop_usage:
            raise BrokenReplyError(str(said)) from None
        await exchange.end(said.sse_event(events.next_number))


async def _relay_events(
    exchange: Exchange, reply: UpstreamReply, delivery: Delivery, events: EventRelay, decode: Decode | None
) -> None:
    async for piece in reply.chunks():
        out = events.feed(decode(piece) if decode else piece)
        delivery.usage, delivery.model = events.usage, events.model
        if out:
            delivery.first_byte = delivery.first_byte or time.perf_counter()
            await exchange.write(out)
    rest = events.rest()
    delivery.usage, delivery.model = events.usage, events.model
    await exchange.end(rest)
    delivery.completed = True


def _is(reply: UpstreamReply, media_type: str) -> bool:
    return reply.header(b"content-type").lower().startswith(media_type)  # in whatever case (RFC 9110 8.3.1)


def _decoder_or_none(encoding: str) -> Decode | None:
    try:
        return decoder(encoding)
    except UndecodableError:
        return None


class _Copy:
    """A decoded copy of a reply for accounting: of a large one its end, none of what can't be decoded."""

    def __init__(self, decode: Decode | None, events: bool) -> None:
        self._decode = decode
        self.events = EventRelay(drop_usage=False) if events else None
        self._pieces: list[bytes] = []
        self._size = 0

    @classmethod
    def of(cls, reply: UpstreamReply, decode: Decode | None, events: bool) -> "_Copy":
        """Make the copy of a reply; of what can't hold a usage (audio, files) nothing is copied."""
        accounted = events or _is(reply, "application/json")
        return cls(decode if accounted else None, events)

    def add(self, piece: bytes) -> None:
        """Take a piece of the reply's body."""
        if self._decode is None:
            return
        try:
            decoded = self._decode(piece)
        except UndecodableError:
            self._give_up()
            return
        if self.events:
            self.events.feed(decoded)
            return
        self._pieces.append(decoded)
        self._size += len(decoded)
        if self._size > _LARGEST_ACCOUNTED:
            self._pieces = [b"".join(self._pieces)[-_END:]]

    def reported(self) -> Reported:
        """Return what the reply said of itself, where it is known."""
        if self.events:
            self.events.rest()
            return Reported(self.events.usage, self.events.model)
        whole = b"".join(self._pieces)
        return reported(whole if self._size <= _LARGEST_ACCOUNTED else b"{" + whole[whole.rfind(b'"usage"') :])

    def _give_up(self) -> None:
        self._decode = None
        self._pieces.clear()
