"""What the gateway and its windowing processes say to each other: msgpack frames behind their length."""

import asyncio
import socket
from typing import TypeAlias

import msgspec

from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy

_LENGTH = 4


class Job(msgspec.Struct, frozen=True, tag="job", array_like=True):
    """To a process: window this body, within so many seconds."""

    id: int
    body: bytes
    policy: WindowPolicy
    seconds: float


class Cancel(msgspec.Struct, frozen=True, tag="cancel", array_like=True):
    """To a process: nobody waits for this job any more."""

    id: int


class State(msgspec.Struct, frozen=True, tag="state", array_like=True):
    """From a process: it counts tokens, and (`ready`) its embedding model is loaded; `detail` why it never will be."""

    ready: bool
    detail: str = ""


class Lookups(msgspec.Struct, frozen=True, array_like=True):
    """How often a process found what it looked for since its start: vectors, and what is kept of texts."""

    hits: int = 0
    misses: int = 0
    text_hits: int = 0
    text_misses: int = 0

    def __add__(self, other: "Lookups") -> "Lookups":
        return Lookups(
            self.hits + other.hits,
            self.misses + other.misses,
            self.text_hits + other.text_hits,
            self.text_misses + other.text_misses,
        )


class Reply(msgspec.Struct, frozen=True, tag="reply", array_like=True):
    """From a process: a job's outcome, and its look-ups so far."""

    id: int
    reason: Reason
    body: bytes | None
    tokens_original: int | None
    tokens_forwarded: int | None
    stages: tuple[tuple[str, float], ...]
    detail: str
    lookups: Lookups = Lookups()
    confidence: float | None = None
    skipped: tuple[str, ...] = ()
    strip: bytes = b""

    def outcome(self) -> WindowOutcome:
        """Return the job's outcome."""
        return WindowOutcome(
            self.reason,
            self.body,
            self.tokens_original,
            self.tokens_forwarded,
            self.stages,
            self.detail,
            confidence=self.confidence,
            skipped=self.skipped,
            strip=self.strip,
        )


Frame: TypeAlias = Job | Cancel | State | Reply

_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def packed(frame: Frame) -> bytes:
    """Return the frame as it goes over the wire."""
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(_LENGTH, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Return the next frame; raises asyncio.IncompleteReadError at the end, ConnectionError for what is no frame."""
    length = int.from_bytes(await reader.readexactly(_LENGTH), "big")
    try:
        return _decoder.decode(await reader.readexactly(length))
    except msgspec.MsgspecError as error:
        raise ConnectionError("not a frame") from error


def receive_frame(connection: socket.socket) -> Frame | None:
    """Return the next frame; None at the end."""
    head = _receive(connection, _LENGTH)
    body = _receive(connection, int.from_bytes(head, "big")) if head else None
    return None if body is None else _decoder.decode(body)


def _receive(connection: socket.socket, length: int) -> bytearray | None:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return buffer
