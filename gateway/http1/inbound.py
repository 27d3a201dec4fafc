"""A client's connection: requests in, one after the other, each to the ASGI application (RFC 9112).

uvicorn makes and counts these instead of its own: a reply leaves in one piece where it can, the application hears at
once of a client that left, and who sends slowly, sends nothing or sends too much is refused or hung up on.
"""

import asyncio
import math
from collections import deque
from typing import Any, cast

import httptools

from gateway.http1.cycle import BARE_QUERY, Cycle, Hosting, Shared, Wire
from gateway.http1.refusing import BAD_REQUEST, HEAD_TOO_LARGE, TOO_SLOW, Refusal

KEPT_S = 75.0  # unused between requests; longer than proxies keep theirs, so that it is they who end it
HEAD_S = 20.0  # from a connection, or a request's first byte, to its head's end
SILENT_S = 60.0  # between two pieces of a body
SLOWEST = 512  # bytes a second of a body, once it has taken as long as a silence may
UNREAD_S = 300.0  # a reply that the client does not read on
LATE_S = 0.3  # for a request that was sent before its client could know that the server stops
LINGER_S = 2.0  # after a reply to a request that was not read whole, so that the reply is not lost
LARGEST_HEAD = 1 << 16
MOST_CONNECTIONS = 8192  # of one worker; beyond that, the one unused longest makes room
_HIGH_WATER = 1 << 18  # bytes of a body that nobody has read yet
_AT_ONCE = 1 << 20  # the same where the application is about to read them
_SLACK_S = 0.01  # by which a timer may be early


class Inbound(asyncio.Protocol):
    """One client's connection, as uvicorn makes it."""

    def __init__(
        self,
        config: Hosting,
        server_state: Shared["Inbound"],
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.app = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._app_state = app_state
        self._parser = _parser(self)
        self._transport: asyncio.Transport
        self.wire: Wire
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf
        self._began = 0.0
        self._received = 0
        self._unused = 0  # bytes that have come since a request's head, or a piece of its body, was whole
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._parsing: Cycle | None = None  # the request whose body is being received
        self._current: Cycle | None = None  # the request that is being answered
        self._queue: deque[Cycle] = deque()
        self._held = False  # reading, until the application has taken what is here
        self._ending = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast(asyncio.Transport, transport)
        self.wire = Wire(self._transport, self.loop)
        self._make_room()
        self._state.connections.add(self)
        self._expect(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self._ending:
            return
        if not self._unused and self._parsing is None:
            self._began = self.loop.time()
        self._unused += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(HEAD_TOO_LARGE if isinstance(error.__context__, _TooLargeError) else BAD_REQUEST)
        else:
            self._wait()

    def _stay(self, rest: bytes) -> None:
        """Read a request once more without its wish to go on in another protocol, which a server may ignore."""
        method, version = self._parser.get_method(), self._parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(BAD_REQUEST)
            return
        lines = [b"%b %b HTTP/%b\r\n" % (method, self._url, version)]
        lines += [name + b": " + value + b"\r\n" for name, value in self._headers if name != b"upgrade"]
        self._parser, self._unused = _parser(self), 0
        self.data_received(b"".join((*lines, b"\r\n", rest)))

    def _wait(self) -> None:
        if self._unused > LARGEST_HEAD:  # a head, or what may stand beside a body in chunks
            self._refuse(HEAD_TOO_LARGE)
        elif self._parsing is not None:
            self._arm()
        elif self._unused and self._current is None:
            self._expect(self._began + HEAD_S - self.loop.time())

    def eof_received(self) -> None:
        """Take the client for gone."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """Tell whoever works for this client."""
        self._state.connections.discard(self)
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        self.wire.lost()
        for cycle in (self._current, *self._queue):
            if cycle is not None:
                cycle.leave()
        self._queue.clear()
        self._parsing = None

    def pause_writing(self) -> None:
        """Make the application wait until the client has read more."""
        self.wire.pause()
        self._expect(UNREAD_S)

    def resume_writing(self) -> None:
        """Let the application go on."""
        self.wire.resume()
        if self._transport.is_closing():
            self._expect(UNREAD_S)
        elif self._current is None:
            self._expect(LINGER_S if self._ending else KEPT_S)
        else:
            self._ease()

    def shutdown(self) -> None:
        """Finish what has begun and end: the server stops."""
        if self._current is None:
            # A request may be on its way, most of all where a connection has only just come about.
            self.loop.call_later(LATE_S, self._end_unused)
        else:
            self._current.keep_alive = False
            self._ending = self._ending or self._parsing is None

    def _end_unused(self) -> None:
        if self._current is None:
            self._close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        """Note the target, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; trailers, after the body, are dropped."""
        if self._parsing is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or have it wait for the one before."""
        if self._parser.should_upgrade():
            return  # it is read once more: the parser leaves its body aside
        if self._unused > LARGEST_HEAD:
            self._weigh()
        self._unused = 0
        cycle = Cycle(self.wire, self._scope(), self._read_on, self._over)
        # An application that is about to stop lets every connection end with its next reply.
        cycle.keep_alive = self._parser.should_keep_alive() and not getattr(self.app, "draining", False)
        self._parsing = cycle
        if self._current is None:
            self._measure()
            self._start(cycle)
        else:
            self._hold()
            self._queue.append(cycle)

    def _weigh(self) -> None:
        """Raise where the head alone is too large; a piece of the body may have come with it."""
        if len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers) > LARGEST_HEAD:
            raise _TooLargeError

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body until it is read; too many make the client wait."""
        cycle = self._parsing
        if cycle is None:
            return
        self._unused = 0
        self._received += len(body)
        if cycle.add(body) > (_AT_ONCE if cycle.awaited else _HIGH_WATER):
            self._hold()
            self._ease()  # it is the application that is waited for now
        elif cycle is self._current:
            self._deadline = self.loop.time() + SILENT_S

    def on_message_complete(self) -> None:
        """End the request."""
        cycle, self._parsing = self._parsing, None
        self._unused = 0
        if cycle is not None:
            if cycle is self._current:
                self._read_on()  # or a client that leaves is not noticed
                self._ease()
            cycle.end()

    def _scope(self) -> dict[str, Any]:
        version = self._parser.get_http_version()
        if version != "1.1":
            self._check_old(version)
        target = httptools.parse_url(self._url)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "scheme": "http",
            "method": self._parser.get_method().decode("ascii"),
            "raw_path": target.path or b"/",
            "query_string": target.query or b"",
            BARE_QUERY: not target.query and self._url.endswith(b"?"),
            "headers": self._headers,
            "root_path": "",
            "server": self.wire.server,
            "client": self.wire.client,
            "state": self._app_state,
        }

    def _check_old(self, version: str) -> None:
        """Raise where it is a version that is not spoken here, or where its framing is not to be trusted."""
        if version != "1.0" or any(name == b"transfer-encoding" for name, _ in self._headers):
            raise ValueError(version)

    def _start(self, cycle: Cycle) -> None:
        self._current = cycle
        task = self.loop.create_task(cycle.run(self.app))
        tasks = self._state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _hold(self) -> None:
        """Read no more until the application has taken what is here."""
        self._held = True
        self._transport.pause_reading()

    def _read_on(self) -> None:
        """Go on reading: the application has taken what was here."""
        if self._held and not self._transport.is_closing():
            self._held = False
            self._measure()
            self._transport.resume_reading()

    def _measure(self) -> None:
        """Begin to measure how fast the body comes."""
        self._began, self._received = self.loop.time(), 0
        self._deadline = self._began + SILENT_S

    def _over(self, cycle: Cycle) -> None:
        """Go on after a reply, whole or broken off: with the next request, or with the connection's end."""
        self._state.total_requests += 1
        if cycle is not self._current or self._transport.is_closing():
            return
        self._current = None
        if cycle is self._parsing:
            self._linger()
        elif not cycle.keep_alive or self._ending:
            self._close()
        elif self._queue:
            self._go_on(self._queue.popleft())
        else:
            self._expect(UNREAD_S if self.wire.paused else KEPT_S)

    def _go_on(self, cycle: Cycle) -> None:
        """Answer a request that came while the one before was answered."""
        if not self._queue:  # Nothing but reading tells of its body's rest, or that the client leaves.
            self._held = False
            self._transport.resume_reading()
        if cycle is self._parsing:
            self._measure()
        self._start(cycle)

    def _linger(self) -> None:
        """Say that no more will be answered, and listen a little longer without a use for it."""
        self._ending = True
        self._parsing = None
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._expect(LINGER_S)

    def _close(self) -> None:
        """End the connection once the client has read what was written, for which it has so long."""
        unread = self._transport.get_write_buffer_size()
        self._transport.close()
        if unread:
            self._expect(UNREAD_S)

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse what is being received; a reply to a request before it goes on, and is the last."""
        self._ending = True
        broken, self._parsing = self._parsing, None
        current = self._current
        if current is None:
            self._refuse_with(refusal)
        elif broken is current and not current.started:
            self._current = None
            self._refuse_with(refusal)
            current.leave()
        else:
            current.keep_alive = False
            if broken is current:
                current.leave()
            elif broken is not None:
                self._queue.remove(broken)

    def _refuse_with(self, refusal: Refusal) -> None:
        self._transport.write(refusal.reply)
        self._linger()

    # The clock.

    def _ease(self) -> None:
        """Expect only that the client reads on where it has to, or sends on where it is to."""
        sends = self._parsing is self._current and not self._held
        self._deadline = self.loop.time() + (UNREAD_S if self.wire.paused else SILENT_S if sends else math.inf)

    def _expect(self, seconds: float) -> None:
        """Expect something within that time."""
        self._deadline = self.loop.time() + seconds
        self._arm()

    def _arm(self) -> None:
        """Look when it is due; a timer that runs already looks again by itself."""
        if self._timer is None:
            self._timer = self.loop.call_at(min(self._deadline, self.loop.time() + SILENT_S), self._due)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self.loop.call_at(self._deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self.loop.time()
        if now < self._deadline and not self._crawls(now):
            self._arm()
        elif self._transport.is_closing():
            self._transport.abort()
        elif self._current is None:
            self._give_up()
        elif self._parsing is self._current:
            self._refuse(TOO_SLOW)
        else:
            self._transport.abort()  # a reply that nobody reads

    def _crawls(self, now: float) -> bool:
        """Whether too little of a body has come since the last look; looks begin anew, or a fast start would last."""
        taken = now - self._began
        if self._parsing is not self._current or self._parsing is None or self._held or taken < SILENT_S - _SLACK_S:
            return False
        crawls = self._received < SLOWEST * taken
        self._began, self._received = now, 0
        return crawls

    def _give_up(self) -> None:
        if self._unused and not self._ending:
            self._refuse(TOO_SLOW)
        else:
            self._close()

    def _make_room(self) -> None:
        """Close the connection that was unused longest where there are too many."""
        if len(self._state.connections) >= MOST_CONNECTIONS:
            unused = [one for one in self._state.connections if one.idle]
            if unused:
                min(unused, key=lambda one: one._deadline)._close()
            else:
                self._transport.close()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._current is None and not self._transport.is_closing()


class _TooLargeError(Exception):
    """A request's head is too large."""


def _parser(connection: Inbound) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(connection)
    # What follows a request that asked for the connection's end is dropped, not answered with an error.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
