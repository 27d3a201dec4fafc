import asyncio
import socket
import threading

import pytest

from gateway.windowing.frames import Cancel, Frame, Job, Lookups, Reply, State, packed, read_frame, receive_frame
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy

POLICY = WindowPolicy(4000, 2000, 1500)
FRAMES: list[Frame] = [
    Job(7, b"\x00\xff" * 300_000, POLICY, 1.25),
    Cancel(7),
    State(ready=True),
    State(ready=False, detail="no model"),
    Reply(7, Reason.RELEVANCE, b"{}", 10, 5, (("parse", 0.5),), "", Lookups(3, 4, 5, 6)),
    Reply(7, Reason.DEADLINE, None, None, None, (), "late"),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda f: type(f).__name__)
async def test_frames_arrive_as_they_were_sent(frame: Frame) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(packed(frame))
    reader.feed_eof()
    assert await read_frame(reader) == frame
    with pytest.raises(asyncio.IncompleteReadError):
        await read_frame(reader)


async def test_what_is_no_frame_is_a_broken_connection() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\x00\x00\x00\x02hi")
    with pytest.raises(ConnectionError):
        await read_frame(reader)


def test_frames_over_a_socket_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    data = b"".join(map(packed, FRAMES))

    def send() -> None:
        with ours:
            for at in range(0, len(data), 1000):
                ours.sendall(data[at : at + 1000])

    sender = threading.Thread(target=send)
    sender.start()
    with theirs:
        assert [receive_frame(theirs) for _ in FRAMES] == FRAMES
        assert receive_frame(theirs) is None
    sender.join()


def test_a_reply_holds_its_outcome() -> None:
    reply = Reply(7, Reason.RELEVANCE, b"{}", 10, 5, (("parse", 0.5),), "d", Lookups(3, 4, 5, 6))
    assert reply.outcome() == WindowOutcome(Reason.RELEVANCE, b"{}", 10, 5, (("parse", 0.5),), "d")


def test_look_ups_of_several_processes_add_up() -> None:
    assert Lookups(1, 2, 3, 4) + Lookups(10, 20, 30, 40) == Lookups(11, 22, 33, 44)
