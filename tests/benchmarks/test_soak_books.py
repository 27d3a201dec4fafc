from collections import Counter

from benchmarks.books import COUNTER
from benchmarks.soak_books import checks
from benchmarks.soak_load import Seen
from gateway.store.contract import Standing
from gateway.store.entries import Entry, State


def entry(name: str, **fields: object) -> Entry:
    values = {"id": name, "time": 1.0, "team": "means", "user": f"user of {name}", "input": 10, "output": 2} | fields
    return Entry(**{"cost_nano": 5, **values})  # type: ignore[arg-type]


def wrong(entries: list[Entry], *, sent: int = 2, spent: int = 10, reserved: int = 0) -> set[str]:
    seen = Seen(ids={"user of a": "a", "user of b": "b"}, ended=Counter({("small", "200"): sent}))
    bills = {"user of a": (10, 2), "user of b": (10, 2)}
    found = checks(seen, entries, Standing(COUNTER, spent, reserved), bills)
    return {check.what.split(",")[0] for check in found if not check.good}


def test_good_books() -> None:
    assert wrong([entry("a"), entry("b")]) == set()


def test_a_lost_entry() -> None:
    assert wrong([entry("a")], spent=5) == {"answered", "billed"}


def test_an_entry_that_is_there_twice() -> None:
    assert wrong([entry("a"), entry("b"), entry("b")], spent=15) >= {"requests sent", "twice in the ledger", "billed"}


def test_an_entry_of_nobody() -> None:
    assert wrong([entry("a"), entry("b"), entry("c", state=State.FREE, cost_nano=None)], sent=3) == {"in the ledger"}


def test_tokens_that_are_not_those_of_the_bill() -> None:
    assert wrong([entry("a"), entry("b", output=3)]) == {"settled entries against bills"}


def test_what_stays_reserved() -> None:
    assert wrong([entry("a"), entry("b")], reserved=7) == {"counter"}


def test_what_nobody_settled() -> None:
    assert "entries by state" in wrong([entry("a"), entry("b", state=State.UNSETTLED)])
