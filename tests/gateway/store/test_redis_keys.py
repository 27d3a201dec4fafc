"""The names of keys: one slot for each team, and no two teams or counters with one name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from gateway.store.contract import Kind
from gateway.store.redis_keys import Keys, bounds, hour_of

KEYS = Keys("cg")
NAMES = st.text(st.sampled_from("a{}%7BDé:\n\0 "), max_size=6)


def names(team: str, counter: str = "usd") -> list[str]:
    own = [KEYS.expiries(team), KEYS.unsettled(team), KEYS.hours(team), KEYS.ledger(team, "2026-11-24T15")]
    return [*KEYS.of_scripts(team), *own, KEYS.counter(team, counter)]


@given(NAMES, NAMES)
def test_all_keys_of_a_team_are_in_one_slot(team: str, counter: str) -> None:
    assert len({key_slot(name.encode()) for name in names(team, counter)}) == 1


@given(NAMES, NAMES)
def test_two_teams_share_no_key(one: str, other: str) -> None:
    assert (one == other) or not {*names(one)} & {*names(other)}


@given(NAMES, NAMES)
def test_the_slot_is_the_team_s_own(one: str, other: str) -> None:
    # In a hash tag of nothing all of a key would count.
    assert (KEYS.base(one) == KEYS.base(other)) is (one == other)
    assert "{}" not in KEYS.base(one)


def test_teams_are_spread_over_the_slots() -> None:
    assert len({key_slot(KEYS.base(f"team{number}").encode()) for number in range(100)}) > 90


def test_documents_and_their_version_are_in_one_slot_and_no_team_s() -> None:
    own = {KEYS.documents(Kind.TEAM), KEYS.documents(Kind.KEY), KEYS.version}
    assert len(own) == 3
    assert len({key_slot(name.encode()) for name in own}) == 1
    assert not own & {*names("documents")}


def test_prefixes_keep_stores_apart() -> None:
    assert not {*names("acme")} & {*Keys("other").of_scripts("acme")}
    with pytest.raises(ValueError, match="braces"):
        Keys("c{g")


def test_an_hour_has_a_name_and_bounds() -> None:
    assert hour_of(1_999_987_199.9999) == "2033-05-17T23"
    assert bounds("2033-05-17T23") == (1_999_983_600.0, 1_999_987_200.0)


@given(st.floats(0, 1e11))
def test_a_time_is_within_its_hour(time: float) -> None:
    start, end = bounds(hour_of(time))
    assert start <= time < end
