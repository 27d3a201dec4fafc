"""What a store promises of its latest entries and of receipts; on each store."""

import asyncio
from dataclasses import replace

import pytest

from gateway.store.contract import Store
from gateway.store.entries import Entry, Span, State
from gateway.store.queries import Place, Query
from gateway.store.receipts import Receipt, SpanKind
from gateway.store.receipts import Span as Stretch
from tests.gateway.store.cases import ALWAYS, NOW, TEAM, hold, reservation, settlement

ALL = Query(ALWAYS.since, ALWAYS.until)
HOUR = 3600.0


async def pages(store: Store, query: Query, limit: int) -> list[list[str]]:
    """Return the ids of each page, until there is no more."""
    found: list[list[str]] = []
    before: Place | None = None
    while True:
        page = await store.latest(query, before, limit)
        found.append([entry.id for entry in page.entries])
        if page.then is None:
            return found
        before = page.then


async def ids(store: Store, query: Query) -> list[str]:
    return [id_ for page in await pages(store, query, 3) for id_ in page]


async def test_the_latest_come_first_a_page_at_a_time(store: Store) -> None:
    made = [(f"r{number:03}", "abc"[number % 3], NOW + number * HOUR / 4) for number in range(25)]
    await asyncio.gather(*(store.settle(settlement(id_, team=team, time=at)) for id_, team, at in made))
    found = await pages(store, ALL, 10)
    assert [id_ for page in found for id_ in page] == [id_ for id_, _, _ in reversed(made)]
    assert [len(page) for page in found][:2] == [10, 10]


async def test_pages_go_on_within_one_moment(store: Store) -> None:
    made = [(TEAM if number % 2 else "other", f"r{number:03}") for number in range(40)]
    await asyncio.gather(*(store.settle(settlement(id_, team=team)) for team, id_ in made))
    found = [id_ for page in await pages(store, ALL, 7) for id_ in page]
    assert found == [id_ for _, id_ in sorted(made, reverse=True)]


async def test_only_those_of_the_span_and_the_team(store: Store) -> None:
    for id_, team, at in (("r1", TEAM, 9.9), ("r2", TEAM, 10.0), ("r3", "other", 15.0), ("r4", TEAM, 20.0)):
        await store.settle(settlement(id_, team=team, time=NOW + at))
    span = Query(NOW + 10, NOW + 20)
    assert await ids(store, span) == ["r3", "r2"]
    assert await ids(store, replace(span, team=TEAM)) == ["r2"]
    assert await ids(store, replace(span, team="nobody")) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"key": "k1"}, ["r3", "r1"]),
        ({"user": "Zoë"}, ["r2"]),
        ({"model": "gpt-4o"}, ["r3", "r1"]),
        ({"reason": "relevance"}, ["r1"]),
        ({"decision": "bypassed"}, ["r2"]),
        ({"state": State.FREE}, ["r3"]),
        ({"status": (429, 429)}, ["r3"]),
        ({"status": (500, 599)}, ["r2"]),
        ({"status": (400, 599)}, ["r3", "r2"]),
        ({"key": "k1", "model": "gpt-4o", "status": (200, 200)}, ["r1"]),
        ({"key": "k1", "user": "Zoë"}, []),
        ({"text": "r"}, ["r3", "r2", "r1"]),
        ({"text": "r2"}, ["r2"]),
        ({"text": "2"}, []),
        ({"text": "PT-4"}, ["r3", "r1"]),
        ({"text": "zo"}, ["r2"]),
        ({"text": "ann%"}, []),
        ({"text": "'; DROP TABLE ledger; --"}, []),
        ({"text": "gpt", "status": (200, 200)}, ["r1"]),
    ],
)
async def test_what_is_asked_for_must_all_hold(store: Store, asked: dict[str, str], expected: list[str]) -> None:
    for made in (
        settlement("r1", time=NOW, key="k1", user="ann@example.com", model="gpt-4o", status=200,
                   decision="applied", reason="relevance"),
        settlement("r2", time=NOW + 1, key="k2", user="Zoë", model="other", status=502, decision="bypassed",
                   reason="deadline", state=State.ESTIMATED),
        settlement("r3", time=NOW + 2, key="k1", model="gpt-4o", status=429, state=State.FREE),
    ):  # fmt: skip
        await store.settle(made)
    assert await ids(store, replace(ALL, **asked)) == expected  # type: ignore[arg-type]


async def test_unsettled_ones_are_among_them(store: Store) -> None:
    await store.settle(settlement("r1", time=NOW - HOUR))
    await store.reserve(reservation("r2", hold(), time=NOW))
    await store.expire(NOW + 60)
    await store.settle(settlement("r3", time=NOW + 1))
    assert await ids(store, ALL) == ["r3", "r2", "r1"]
    assert await ids(store, replace(ALL, state=State.UNSETTLED)) == ["r2"]


async def test_one_entry_is_found_by_its_id_and_time(store: Store) -> None:
    made = settlement("r1", team="other", model="m")
    await store.settle(made)
    await store.settle(settlement("r2"))
    await store.reserve(reservation("r3", hold(), time=NOW))
    await store.expire(NOW + 60)
    assert await store.find("r1", Span(NOW, NOW + 1)) == made.entry
    assert await store.find("r1", ALWAYS) == made.entry
    lapsed = await store.find("r3", ALWAYS)
    assert isinstance(lapsed, Entry)
    assert lapsed.state is State.UNSETTLED
    assert await store.find("r1", Span(NOW + 1, NOW + 2)) is None
    assert await store.find("r9", ALWAYS) is None


def receipt(id_: str, team: str = TEAM, **known: object) -> Receipt:
    return Receipt(**{"id": id_, "team": team, "time": NOW, **known})  # type: ignore[arg-type]


async def test_a_receipt_comes_back_as_it_was_kept(store: Store) -> None:
    full = receipt(
        "r1",
        question="Wie groß?",
        spans=(Stretch(SpanKind.PROTECTED, 12, None, True), Stretch(SpanKind.CHUNK, 60, 0.25, False)),
        stages=(("count", 1.5), ("rank", 20.0)),
        forwarded_body='{"messages": []}',
        model_served="gpt-4o",
        attempts=("main: failed", "other: answered"),
        confidence=0.9,
        overhead_ms=24.5,
    )
    await store.keep([full, receipt("r2")], 10)
    assert await store.receipt(TEAM, "r1") == full
    assert await store.receipt(TEAM, "r2") == receipt("r2")
    assert await store.receipt("other", "r1") is None
    assert await store.receipt(TEAM, "r3") is None


async def test_of_receipts_the_latest_are_kept(store: Store) -> None:
    for start in range(0, 100, 25):
        await store.keep([receipt(f"r{number}") for number in range(start, start + 25)], 40)
    kept = [number for number in range(100) if await store.receipt(TEAM, f"r{number}")]
    assert kept == list(range(60, 100))


async def test_a_receipt_is_replaced_by_another_of_the_same_request(store: Store) -> None:
    await store.keep([receipt("r1")], 10)
    await store.keep([receipt("r1", overhead_ms=5.0), receipt("r1", team="other")], 10)
    assert await store.receipt(TEAM, "r1") == receipt("r1", overhead_ms=5.0)
    assert await store.receipt("other", "r1") == receipt("r1", team="other")


async def test_receipts_are_forgotten_with_their_entries(store: Store) -> None:
    await store.keep([receipt(f"r{number:02}", time=NOW + number) for number in range(80)], 100)
    await store.prune(NOW + 70)
    kept = [number for number in range(80) if await store.receipt(TEAM, f"r{number:02}")]
    assert kept == list(range(70, 80))
    await store.prune(NOW + 100)
    assert await store.receipt(TEAM, "r79") is None
    await store.keep([receipt("r99", time=NOW + 99)], 100)
    assert await store.receipt(TEAM, "r99") is not None
