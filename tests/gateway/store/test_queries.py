"""Which entries a query asks for."""

from typing import Any

from gateway.store.entries import Entry, State
from gateway.store.queries import Place, Query, folded, place
from tests.gateway.store.cases import NOW, TEAM, entry

ALL = Query(NOW, NOW + 1)


def wants(query: Query, entry: Entry) -> bool:
    return list(query.among([entry])) == [entry]


def test_an_entry_of_the_span_is_wanted_whatever_it_says() -> None:
    assert wants(ALL, entry(user="u", status=500))
    assert not wants(ALL, entry(time=NOW + 1))
    assert not wants(ALL, entry(time=NOW - 0.001))
    assert ALL.values == ()


def test_all_that_is_asked_for_must_hold() -> None:
    query = Query(NOW, NOW + 1, team=TEAM, state=State.FREE, status=(400, 499), text="ANN")
    good = entry(state=State.FREE, status=429, user="joanne")
    assert wants(query, good)
    assert query.values == (("state", "free"),)
    others: list[dict[str, Any]] = [{"status": 500}, {"state": State.SETTLED}, {"user": "bob"}, {"team": "other"}]
    for other in others:
        assert not wants(query, entry(**{"state": State.FREE, "status": 429, "user": "joanne", **other}))


def test_an_empty_value_is_asked_for_too() -> None:
    query = Query(NOW, NOW + 1, user="")
    assert wants(query, entry())
    assert not wants(query, entry(user="ann"))


def test_only_ascii_is_folded_as_sqlite_does() -> None:
    assert folded("ÄÖ Straße ABC") == "ÄÖ straße abc"


def test_places_are_in_the_ledger_s_order() -> None:
    assert place(entry("r1")) == Place(NOW, TEAM, "r1")
    assert place(entry("r1")) < place(entry("r2")) < place(entry("r1", time=NOW + 1))


def test_the_ledger_s_order_is_by_time_then_team_then_id() -> None:
    made = [entry("b", team="x"), entry("a", team="x"), entry("z", team="a"), entry("z", time=NOW - 1)]
    assert [(each.team, each.id) for each in sorted(made, key=place)] == [
        ("acme", "z"), ("a", "z"), ("x", "a"), ("x", "b"),
    ]  # fmt: skip
