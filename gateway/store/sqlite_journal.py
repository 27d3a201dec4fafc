"""What a worker has set aside of its leases, and how that ended, in a file of its own that outlives it.

A record is in the file, for any process to read, before the request it is about is forwarded. The file has two halves
that are written in turns, over what is no more needed: fresh pages would cost ten times what is written to them. How
many turns there were stands at the file's beginning. Each record has its length before it, and a checksum of it and of
its turn, so that what was left half written, or is of an earlier turn, is seen to be.
"""

import contextlib
import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from gateway.store.contract import Charge, Hold, Reservation, Settlement
from gateway.store.entries import Entry
from gateway.store.sqlite_counters import held_by
from gateway.store.sqlite_ledger import unpack
from gateway.store.sqlite_memory import Held, Key

_HALF = 4 << 20  # bytes: some 10,000 records
_ENOUGH = 1 << 20  # bytes in a half from which on it is time to turn; the rest is for what is under way for long
_START = mmap.PAGESIZE  # of the first half
_TURN = struct.Struct("<Q")
_HEAD = struct.Struct("<IIB")  # length, checksum, kind
_ROOM = _START + 2 * _HALF
_CHECKED = 0xFFFFFFFF
_RESERVED, _SETTLED = 0, 1
_ENCODE = msgspec.msgpack.Encoder().encode
_RESERVATION = msgspec.msgpack.Decoder(tuple[str, str, tuple[Hold, ...], msgspec.Raw]).decode
_SETTLEMENT = msgspec.msgpack.Decoder(tuple[str, str, tuple[Charge, ...], msgspec.Raw]).decode


class Reserved(msgspec.Struct, frozen=True):
    """What the file says of a reservation."""

    key: Key
    held: Held
    entry: Entry


class Journal:
    """The file of one worker, open for writing; every method may raise OSError, and then has changed nothing.

    It is written through memory that is the file's: a system call for each record would cost more than all the rest.
    Its room on the disk is taken beforehand, since a page that finds none ends the process.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path = path
        self._pages = _pages(path)
        self._turn = 0
        self.size = 0  # of what is written in this turn
        self._older = 0  # and in the turn before

    @property
    def is_full(self) -> bool:
        """Whether it is time to turn."""
        return self.size > _ENOUGH

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.size and not self._older

    def add(self, reservation: Reservation) -> None:
        """Append a reservation."""
        self._append(_RESERVED, _reserved(reservation))

    def settle(self, settlement: Settlement) -> None:
        """Append how a request that was reserved ended."""
        self._append(_SETTLED, _settled(settlement))

    def turn(self, reservations: Iterable[Reservation], settlements: Iterable[Settlement]) -> None:
        """Write from now on over the half before, of which these are still needed."""
        before = self.size
        try:
            for reservation in reservations:
                self.add(reservation)
            for settlement in settlements:
                self.settle(settlement)
        except OSError:
            self._take_back(before)
            raise
        self._turn, self._older, self.size = self._turn + 1, self.size, 0
        _TURN.pack_into(self._pages, 0, self._turn)

    def _append(self, kind: int, record: bytes) -> None:
        length = len(record)
        if self.size + _HEAD.size + length > _HALF:
            raise OSError(errno.ENOSPC, "the journal is full")
        head = _half(self._turn) + self.size
        # The head last: without it there is no record.
        self._pages[head + _HEAD.size : head + _HEAD.size + length] = record
        _HEAD.pack_into(self._pages, head, length, zlib.crc32(record, self._turn & _CHECKED), kind)
        self.size += _HEAD.size + length

    def _take_back(self, size: int) -> None:
        if self.size > size:
            self.size = size
            _HEAD.pack_into(self._pages, _half(self._turn) + size, 0, 0, 0)

    def remove(self) -> None:
        """Close the file and remove it."""
        self.close()
        forget(self._path)

    def close(self) -> None:
        """Close the file."""
        self._pages.close()


def _pages(path: Path) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _take_room(file)
        return mmap.mmap(file, _ROOM)
    except OSError:
        forget(path)
        raise
    finally:
        os.close(file)


def _take_room(file: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, _ROOM)
    else:  # macOS: as good as its file system makes it
        os.write(file, bytes(_ROOM))


def read(path: Path) -> Iterator[Reserved | Settlement | None]:
    """Yield what the file holds, up to the first record that is not whole; nothing where there is no file.

    None stands for a whole record that this release can't read.
    """
    try:
        held = path.read_bytes()
    except OSError:
        return
    if len(held) < _TURN.size:
        return
    (turn,) = _TURN.unpack_from(held)
    for of in (turn - 1, turn):
        yield from _records(held[_half(of) : _half(of) + _HALF], of & _CHECKED)


def _records(held: bytes, turn: int) -> Iterator[Reserved | Settlement | None]:
    place = 0
    while len(held) >= place + _HEAD.size:
        length, sum_, kind = _HEAD.unpack_from(held, place)
        place += _HEAD.size
        record = held[place : place + length]
        if not length or len(record) != length or zlib.crc32(record, turn) != sum_:
            return
        place += length
        try:
            yield _unpacked(kind, record)
        except ValueError:  # another release's
            yield None


def _half(turn: int) -> int:
    """Return where the half that is written in this turn begins."""
    return _START + (turn & 1) * _HALF


def _unpacked(kind: int, record: bytes) -> Reserved | Settlement:
    if kind == _RESERVED:
        team, id_, holds, entry = _RESERVATION(record)
        return Reserved((team, id_), held_by(holds), unpack(entry))
    team, id_, charges, entry = _SETTLEMENT(record)
    return Settlement(id_, team, charges, unpack(entry))


def forget(path: Path) -> None:
    """Remove the file, if it is there."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _reserved(reservation: Reservation) -> bytes:
    return _ENCODE((reservation.team, reservation.id, reservation.holds, astuple(reservation.entry)))


def _settled(settlement: Settlement) -> bytes:
    return _ENCODE((settlement.team, settlement.id, settlement.charges, astuple(settlement.entry)))
