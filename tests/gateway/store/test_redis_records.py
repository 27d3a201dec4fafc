"""Operations as bytes and back."""

import msgspec
import pytest

from gateway.store.contract import Granted, Refused, Settled, Standing
from gateway.store.entries import State
from gateway.store.redis_records import (
    answers,
    entry_of,
    heads,
    lapsed_of,
    reserved,
    reserving,
    settled,
    settling,
)
from tests.gateway.store.cases import NOW, TEAM, entry, hold, reservation, settlement


def test_what_is_stored_of_a_settlement_is_its_entry() -> None:
    made = settlement("r1", ("usd", 5), user="é", cost_nano=2**60, first_byte_ms=1.5)
    assert entry_of(settling(made).stored) == made.entry


@pytest.mark.parametrize("count", [0, 1, 40])
def test_of_what_is_stored_of_a_reservation_the_entry_is_found_again_as_unsettled(count: int) -> None:
    made = reservation("r1", *(hold(f"counter {number}" * 20) for number in range(count)), model="m")
    assert lapsed_of(TEAM, "r1", reserving(made).stored) == entry("r1", model="m", state=State.UNSETTLED)


def test_of_what_cannot_be_read_the_names_are_left() -> None:
    torn = reserving(reservation("r1", hold(), model="m")).stored[:-3]
    assert lapsed_of(TEAM, "r1", torn) == entry("r1", time=0.0, state=State.UNSETTLED)


def test_heads_carry_what_the_script_reads() -> None:
    operations = [reserving(reservation("r1", hold())), settling(settlement("r2", ("usd", 5)))]
    assert msgspec.msgpack.decode(heads(operations)) == [
        [0, "r1", "2033-05-18T03", NOW, NOW + 60],
        [1, "r2", "2033-05-18T03", [["usd", 5, None]]],
    ]


def test_an_entry_with_fields_of_a_later_release_can_be_read() -> None:
    later = msgspec.msgpack.encode({**msgspec.to_builtins(entry("r1", status=200)), "added": 1})
    assert entry_of(later) == entry("r1", status=200)


def test_an_entry_of_an_earlier_release_has_the_defaults_of_what_it_lacks() -> None:
    earlier = msgspec.to_builtins(entry("r1", status=200, tokens_window=7, would_save_nano=1))
    del earlier["tokens_window"], earlier["would_save_nano"]
    assert entry_of(msgspec.msgpack.encode(earlier)) == entry("r1", status=200)


def test_answers_are_told_apart() -> None:
    asked = reservation("r1", hold("usd"), hold("tokens"))
    standings = (Standing("usd", 1, 2), Standing("tokens", 3, 4))
    assert reserved(asked, [0, 1, 2, 3, 4]) == Granted(standings)
    assert reserved(asked, [2, 1, 2, 3, 4]) == Refused(1, standings)
    made = settlement("r1", ("usd", 5), ("tokens", 6))
    assert settled(made, [1, 10, 11, 1, 2, 3, 4]) == Settled(True, (10, 11), standings)
    assert settled(made, [0]) == Settled(False, (), ())
    assert answers(msgspec.msgpack.encode([[0], [1, 2]])) == [[0], [1, 2]]
