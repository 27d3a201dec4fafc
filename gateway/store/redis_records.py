"""Reservations, settlements and entries as bytes for Redis, and answers from there."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gateway.store.contract import Granted, Hold, Refused, Reservation, Settled, Settlement, Standing
from gateway.store.entries import Entry, State
from gateway.store.redis_keys import hour_of

Answer = list[int]
_SIZE = 4  # bytes that say how long the holds are, which stand before the entry

_encode = msgspec.msgpack.Encoder().encode
_answers = msgspec.msgpack.Decoder(list[Answer])
_entry = msgspec.msgpack.Decoder(Entry)
_holds = msgspec.msgpack.Decoder(tuple[Hold, ...])


@dataclass(frozen=True, slots=True)
class Operation:
    """A reservation or a settlement: what lua/operations.lua reads of it, and what it stores."""

    head: tuple[object, ...]
    stored: bytes


def reserving(reservation: Reservation) -> Operation:
    """Return the operation that makes the reservation."""
    entry = reservation.entry
    holds = _encode(reservation.holds)
    head = (0, reservation.id, hour_of(entry.time), entry.time, reservation.expires)
    return Operation(head, len(holds).to_bytes(_SIZE, "big") + holds + _encode(entry))


def settling(settlement: Settlement) -> Operation:
    """Return the operation that makes the settlement."""
    head = (1, settlement.id, hour_of(settlement.entry.time), settlement.charges)
    return Operation(head, _encode(settlement.entry))


def heads(operations: Sequence[Operation]) -> bytes:
    """Return the heads as one argument."""
    return _encode([operation.head for operation in operations])


def answers(reply: bytes) -> list[Answer]:
    """Return what came of each operation."""
    return _answers.decode(reply)


def reserved(reservation: Reservation, answer: Answer) -> Granted | Refused:
    """Return what came of the reservation."""
    standings = _standings([hold.counter for hold in reservation.holds], answer[1:])
    return Refused(answer[0] - 1, standings) if answer[0] else Granted(standings)


def settled(settlement: Settlement, answer: Answer) -> Settled:
    """Return what came of the settlement."""
    if not answer[0]:
        return Settled(applied=False, before=(), standings=())
    names = [charge.counter for charge in settlement.charges]
    numbers = answer[1:]
    return Settled(True, tuple(numbers[: len(names)]), _standings(names, numbers[len(names) :]))


def _standings(names: Sequence[str], numbers: Sequence[int]) -> tuple[Standing, ...]:
    return tuple(Standing(name, numbers[2 * i], numbers[2 * i + 1]) for i, name in enumerate(names))


def entry_of(stored: bytes) -> Entry:
    """Return the entry of the ledger."""
    return _entry.decode(stored)


def lapsed_of(team: str, id_: str, stored: bytes) -> Entry:
    """Return the entry of a reservation that expired; of one that can't be read these names, and no time."""
    holds = int.from_bytes(stored[:_SIZE], "big")
    try:
        return msgspec.structs.replace(_entry.decode(stored[_SIZE + holds :]), state=State.UNSETTLED)
    except ValueError:
        return Entry(id=id_, time=0.0, team=team, state=State.UNSETTLED)


def is_readable(stored: bytes) -> bool:
    """Whether all that is stored of a reservation can be read here: what another release wrote may not."""
    end = _SIZE + int.from_bytes(stored[:_SIZE], "big")
    try:
        _holds.decode(stored[_SIZE:end])
        _entry.decode(stored[end:])
    except ValueError:
        return False
    return True
