"""Faults of upstreams and of clients: what comes back, what is charged, how soon all is well again."""

import contextlib
import http.client
import time
from collections.abc import Iterator

from benchmarks.fault import Fault
from benchmarks.fault_client import BUDGETED, body_of, headers_of
from benchmarks.fault_place import OPEN_S, TIMEOUT_S, Place, Scene
from benchmarks.findings import Findings, until
from benchmarks.observed import resident_kb
from gateway.store.entries import State
from tests.upstreams import Upstream

_LATE = 1.6  # times a timeout, at most: it is looked at every quarter of it, and the machine is shared
_GONE_S = 0.1
_READS_AFTER_S = 1.5
_SLOW_READER_KB = 16 * 1024


def reset_before_head(scene: Scene, found: Findings) -> None:
    """The upstream takes the request whole and resets the connection."""
    place = scene.place
    answer = place.ask("reset-before-head")
    found.need(answer.status == 502 and bool(answer.error), f"answered {answer.status} {answer.error}")
    found.note(f"502 {answer.error}")
    place.recovers(found)
    place.entered(found, answer.id, State.ESTIMATED)


def reset_in_stream(scene: Scene, found: Findings) -> None:
    """The upstream resets the connection after three events."""
    _stream_broken(scene.place, found, "reset-in-stream")


def half_event(scene: Scene, found: Findings) -> None:
    """The upstream closes the connection within an event."""
    _stream_broken(scene.place, found, "half-event")


def stalled(scene: Scene, found: Findings) -> None:
    """The upstream falls silent after three events."""
    seconds = _stream_broken(scene.place, found, "stall-in-stream")
    found.need(
        TIMEOUT_S <= seconds <= _LATE * TIMEOUT_S, f"the idle timeout of {TIMEOUT_S} s hit after {seconds:.2f} s"
    )


def _stream_broken(place: Place, found: Findings, behaviour: str) -> float:
    answer = place.ask(behaviour, stream=True)
    found.need(answer.whole, "the reply was cut off")
    found.need(answer.ended_with_error, f"the stream ended with {answer.body[-80:]!r}")
    found.need(len(answer.events) == 4, f"{len(answer.events)} events, not 3 and the error")
    place.recovers(found)
    place.entered(found, answer.id, State.ESTIMATED)
    return answer.seconds


def truncated(scene: Scene, found: Findings) -> None:
    """The upstream sends less than its Content-Length and closes."""
    answer = scene.place.ask("truncated")
    found.need(not answer.whole, "a cut reply looks whole")
    found.note("the client sees a cut reply")
    scene.place.recovers(found)
    scene.place.entered(found, answer.id, State.ESTIMATED)


def black_hole(scene: Scene, found: Findings) -> None:
    """The upstream lets us connect and never answers."""
    _no_answer(scene.place, found, "gpt-silent", State.ESTIMATED)


def unheard(scene: Scene, found: Findings) -> None:
    """Nothing says that the upstream can't be reached: packets to it are dropped."""
    _no_answer(scene.place, found, "gpt-full", State.FREE)


def no_such_name(scene: Scene, found: Findings) -> None:
    """The upstream's name does not resolve."""
    _no_answer(scene.place, found, "gpt-nowhere", State.FREE)


def _no_answer(place: Place, found: Findings, model: str, state: State) -> None:
    # What did not connect is tried twice, and is free; what was sent is tried once, and may be billed.
    status, tries = (502, 2) if state is State.FREE else (504, 1)
    answer = place.ask(model=model)
    found.need(answer.status == status and bool(answer.error), f"answered {answer.status} {answer.error}")
    most = tries * TIMEOUT_S * _LATE
    found.need(answer.seconds <= most, f"answered after {answer.seconds:.2f} s")
    found.note(f"{answer.status} {answer.error} after {answer.seconds:.2f} s")
    place.recovers(found)
    place.entered(found, answer.id, state)


def down_then_up(scene: Scene, found: Findings) -> None:
    """Nobody listens where the upstream was, until it is started again."""
    place = scene.place
    statuses = [place.ask(model="gpt-away").status for _ in range(4)]
    found.need(set(statuses) <= {502, 503} and statuses[-1] == 503, f"answered {statuses}")
    found.note(f"answered {statuses} while down")
    with Upstream(scene.away):
        place.recovers(found, 8 * OPEN_S, "gpt-away")


def client_leaves(scene: Scene, found: Findings) -> None:
    """A client closes its connection in mid-stream."""
    place = scene.place
    gone, bills = place.upstream.gone, len(place.upstream.bills)
    with _stream(place, "endless") as reply:
        request = reply.getheader("x-gateway-request-id") or ""
        read = sum(reply.readline().startswith(b"data: ") for _ in range(21))
    left = time.monotonic()
    told = until(lambda: place.upstream.gone > gone, 3, 0.002)
    found.need(told is not None and told <= _GONE_S, f"the upstream was told after {told} s")
    found.note(f"upstream told after {1e3 * (told or 0):.0f} ms")
    place.recovers(found)
    place.entered(found, request, State.ESTIMATED)
    until(lambda: len(place.upstream.bills) > bills, 3)
    # Three characters an event; a token each, of which the upstream bills three quarters.
    produced = -(-place.upstream.bills[bills].output * 4 // 3)
    charged = next((e.output for e in place.books.entries() if e.id == request), 0)
    found.need(read <= charged <= produced + 1, f"charged {charged}, read {read}, produced {produced}")
    found.recovery_s = time.monotonic() - left if told is None else told


def slow_reader(scene: Scene, found: Findings) -> None:
    """A client reads nothing of 64 MB for a while, then all of it."""
    place = scene.place
    before = resident_kb(place.gateway.pid)
    with _stream(place, "flood") as reply:
        time.sleep(_READS_AFTER_S)
        grown = resident_kb(place.gateway.pid) - before
        size = sum(map(len, iter(lambda: reply.read(1 << 20), b"")))
    found.need(grown < _SLOW_READER_KB, f"memory grew by {grown} KB")
    found.need(size == 1 << 26, f"{size} bytes came")
    found.note(f"memory grew by {grown / 1024:.1f} MB, all 64 MB came")
    place.recovers(found)
    place.adds_up(found)


@contextlib.contextmanager
def _stream(place: Place, behaviour: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", place.gateway.port, timeout=30)
    connection.request(
        "POST", "/v1/chat/completions", body_of("gpt-main", stream=True), headers_of(BUDGETED, behaviour)
    )
    reply = connection.getresponse()
    try:
        yield reply
    finally:
        reply.close()
        connection.close()


_ERROR_EVENT = "whole events, an error event, a proper end; what was produced is billed"
FAULTS = (
    Fault("upstream resets before its head", "502 in OpenAI's shape; the prompt is billed", reset_before_head),
    Fault("upstream resets in a stream", _ERROR_EVENT, reset_in_stream),
    Fault("half an event, then the end", _ERROR_EVENT, half_event),
    Fault("upstream stalls in a stream", f"idle timeout; {_ERROR_EVENT}", stalled),
    Fault("body shorter than promised", "the client sees that it is cut; the worst case is billed", truncated),
    Fault("upstream accepts, never answers", "504 at the timeout; billed, since it may work", black_hole),
    Fault("packets to the upstream dropped", "502 at the timeout for connecting; free", unheard),
    Fault("name that does not resolve", "502 within the timeout for connecting; free", no_such_name),
    Fault("upstream down, then up", "502, then 503 at once by the breaker; a probe finds it", down_then_up),
    Fault("client leaves in a stream", "upstream told within 100 ms; billed what was produced", client_leaves),
    Fault("client reads nothing of 64 MB", "memory grows by less than 16 MB; all comes in the end", slow_reader),
)
