"""What a worker has set aside of its leases, and how that ended, in a file of its own that outlives it.

A record is in the file, for any process to read, before the request it is about is forwarded. Each has its length and
checksum before it, so that what a power cut left half written is seen to be.
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

from gateway.store.contract import Charge, Reservation, Settlement
from gateway.store.entries import Entry
from gateway.store.sqlite_ledger import unpack
from gateway.store.sqlite_memory import Held, Key

_ROOM = 4 << 20  # bytes: some 10,000 records
_HEAD = struct.Struct("<IIB")  # length, checksum, kind
_RESERVED, _SETTLED = 0, 1
_ENCODE = msgspec.msgpack.Encoder().encode
_RESERVATION = msgspec.msgpack.Decoder(tuple[str, str, Held, msgspec.Raw]).decode
_SETTLEMENT = msgspec.msgpack.Decoder(tuple[str, str, tuple[tuple[str, int, float | None], ...], msgspec.Raw]).decode


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
        self._pages = _pages(path, os.O_EXCL)
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time for `rewrite`."""
        return self.size > _ROOM // 2

    def add(self, reservation: Reservation) -> None:
        """Append a reservation."""
        self._append(_reserved(reservation))

    def settle(self, settlement: Settlement) -> None:
        """Append how a request that was reserved ended."""
        self._append(_settled(settlement))

    def _append(self, record: bytes) -> None:
        end = self.size + len(record)
        if end > _ROOM:
            raise OSError(errno.ENOSPC, "the journal is full")
        self._pages[self.size : end] = record
        self.size = end

    def rewrite(self, reservations: Iterable[Reservation], settlements: Iterable[Settlement]) -> None:
        """Keep only these."""
        records = b"".join((*map(_reserved, reservations), *map(_settled, settlements)))
        if len(records) > _ROOM:
            raise OSError(errno.ENOSPC, "the journal is full")
        fresh = self._path.with_suffix(".new")
        pages = _pages(fresh, os.O_TRUNC)
        pages[: len(records)] = records
        try:
            fresh.rename(self._path)
        except OSError:
            pages.close()
            raise
        self._pages.close()
        self._pages, self.size = pages, len(records)

    def remove(self) -> None:
        """Close the file and remove it."""
        self.close()
        forget(self._path)

    def close(self) -> None:
        """Close the file."""
        self._pages.close()


def _pages(path: Path, flag: int) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | flag, 0o600)
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


def read(path: Path) -> Iterator[Reserved | Settlement]:
    """Yield what the file holds, up to the first record that is not whole; nothing where there is no file."""
    try:
        held = path.read_bytes()
    except OSError:
        return
    place = 0
    while len(held) >= place + _HEAD.size:
        length, sum_, kind = _HEAD.unpack_from(held, place)
        place += _HEAD.size
        record = held[place : place + length]
        if not length or len(record) != length or zlib.crc32(record) != sum_:
            return
        place += length
        yield _unpacked(kind, record)


def _unpacked(kind: int, record: bytes) -> Reserved | Settlement:
    if kind == _RESERVED:
        team, id_, held, entry = _RESERVATION(record)
        return Reserved((team, id_), held, unpack(entry))
    team, id_, charges, entry = _SETTLEMENT(record)
    return Settlement(id_, team, tuple(Charge(*charge) for charge in charges), unpack(entry))


def forget(path: Path) -> None:
    """Remove the file, if it is there."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _reserved(reservation: Reservation) -> bytes:
    held = [(hold.counter, hold.amount, hold.lapsed, hold.until) for hold in reservation.holds]
    return _framed(_RESERVED, _ENCODE((reservation.team, reservation.id, held, astuple(reservation.entry))))


def _settled(settlement: Settlement) -> bytes:
    charges = [astuple(charge) for charge in settlement.charges]
    return _framed(_SETTLED, _ENCODE((settlement.team, settlement.id, charges, astuple(settlement.entry))))


def _framed(kind: int, record: bytes) -> bytes:
    return _HEAD.pack(len(record), zlib.crc32(record), kind) + record
