"""A reply's body as a whole, as far as it is worth waiting for."""

from gateway.upstreams.upstream import UpstreamReply


class TooLongError(Exception):
    """The body is longer than anything that is asked for here."""


async def body_of(reply: UpstreamReply, most: int = 1 << 24) -> bytes:
    """Return the body of at most so many bytes, and give the connection back.

    Raises:
        TooLongError: there are more.
        UpstreamUnreachableError, UpstreamTimeoutError: its end did not come.
    """
    body = bytearray()
    try:
        async for piece in reply.chunks():
            body += piece
            if len(body) > most:
                raise TooLongError
    finally:
        reply.close()
    return bytes(body)
