"""The store on a real server: away, paused, restarted, read only, full; two stores on one; a cluster's slots."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.store.contract import Granted, Hold, Kind, Refused, StoreUnavailableError
from gateway.store.entries import Group, State
from gateway.store.redis import RedisStore
from gateway.store.redis_records import reserving
from gateway.store.redis_scripts import Command, scripts
from tests.gateway.store.cases import ALWAYS, NOW, TEAM, hold, ledger, put, reservation, settlement, state
from tests.gateway.store.servers import RedisServer, running

TIMEOUT_MS = 50
SOON_S = 0.25  # in which an operation of 50 ms ends, on a busy machine too
ODD = "a{b}c}{ %7B é\n*"


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture
def server(own_server: RedisServer) -> Iterator[RedisServer]:
    """A server that is empty; whatever the test did to it is undone."""
    own_server.ask("FLUSHALL")
    own_server.ask("CONFIG", "RESETSTAT")
    yield own_server
    own_server.resume()


@pytest.fixture
def changes() -> list[bool]:
    return []


@asynccontextmanager
async def opened(
    server: RedisServer, changes: list[bool] | None = None, timeout_ms: int = TIMEOUT_MS
) -> AsyncIterator[RedisStore]:
    told = changes if changes is not None else []
    store = RedisStore(server.url, timeout_ms, on_change=lambda there, _why: told.append(there))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def refusals(store: RedisStore, count: int) -> list[float]:
    """Return how long each reservation took to be told that the store is away."""
    took = []
    for number in range(count):
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await store.reserve(reservation(f"away{number}", hold(amount=1)))
        took.append(time.monotonic() - started)
    return took


async def back(store: RedisStore) -> None:
    """Wait until the store answers."""
    deadline = time.monotonic() + 5
    while True:
        try:
            await store.version()
            return
        except StoreUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_a_paused_server_is_waited_for_a_moment_and_then_asked_no_more(
    server: RedisServer, changes: list[bool]
) -> None:
    async with opened(server, changes) as store:
        await store.reserve(reservation("r1", hold(amount=1)))
        server.pause()
        took = await refusals(store, 10)
        assert max(took) < SOON_S
        assert sum(took[3:]) < TIMEOUT_MS / 1000  # the breaker is open
        assert changes == [False]
        server.resume()
        await back(store)
        assert changes == [False, True]
        assert isinstance(await store.reserve(reservation("r2", hold(amount=1))), Granted)
    assert server.calls("evalsha") <= 1 + 3 + 1  # those that were sent before it opened, and no more


async def test_what_a_paused_server_does_late_harms_nobody(server: RedisServer) -> None:
    async with opened(server) as store:
        server.pause()
        await refusals(store, 3)
        server.resume()
        await back(store)
        for number in range(3):  # as requests that were refused do; a few reservations may come even later
            await store.settle(settlement(f"away{number}"))
        await asyncio.sleep(0.1)
        assert await state(store) == (0, 0)
        assert await store.expire(NOW * 2) == ()


async def test_a_server_that_is_too_slow_for_requests_is_away_however_many_reports_it_answers(
    server: RedisServer, changes: list[bool]
) -> None:
    async with opened(server, changes) as store:
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                await store._line.ask([("DEBUG", "SLEEP", "0.3")])
            if changes:
                break
            assert await store._opened.reports.ask([("DEBUG", "SLEEP", "0.1"), ("PING",)]) == [b"OK", b"PONG"]
        assert changes == [False]


async def test_every_operation_is_bounded(server: RedisServer) -> None:
    operations: list[Callable[[RedisStore], Awaitable[object]]] = [
        lambda store: store.settle(settlement("r1")),
        lambda store: store.settle_all([settlement("r1"), settlement("r2", team="other")]),
        lambda store: store.renew({TEAM: ["r1"]}, NOW),
        lambda store: store.expire(NOW),
        lambda store: store.standings(TEAM, ["usd"]),
        lambda store: store.unsettled(),
        lambda store: store.version(),
        lambda store: store.documents(Kind.KEY),
        lambda store: put(store, Kind.KEY, "k", b""),
    ]
    for operation in operations:
        async with opened(server) as store:
            server.pause()
            started = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await operation(store)
            assert time.monotonic() - started < SOON_S
            server.resume()


async def test_a_server_that_was_restarted_has_lost_scripts_and_teams_and_is_told_again(
    server: RedisServer, changes: list[bool]
) -> None:
    async with opened(server, changes, timeout_ms=1000) as store:
        await store.reserve(reservation("r1", hold(amount=1)))
        server.stop()
        server.start()
        assert await store.reserve(reservation("r2", hold(amount=2))) == await store.reserve(
            reservation("r2", hold(amount=2))
        )
        assert await state(store) == (0, 2)
        assert [lapsed.id for lapsed in await store.expire(NOW + 60)] == ["r2"]
    assert changes == []


async def test_a_server_that_was_emptied_hears_of_teams_with_the_next_sweep_and_that_is_said_once(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server, timeout_ms=1000) as store:
        await store.settle_all([settlement("r1"), settlement("r1", team="other")])
        assert await store.expire(NOW) == ()
        server.ask("FLUSHALL")
        await store.settle(settlement("r2"))
        for _ in range(2):
            await store.expire(NOW)
        assert [found.id for found in await ledger(store)] == ["r2"]
    assert [message.split(":")[0] for message in caplog.messages] == ["store_lost_data"]
    assert "(acme, other)" in caplog.text


async def test_a_server_that_was_restarted_without_its_data_is_said_with_the_next_request(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server, timeout_ms=1000) as store:
        await store.settle_all([settlement("r1"), settlement("r1", team="other")])
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await store.settle_all([settlement("r2"), settlement("r1", team="third")])
        assert caplog.messages == [], "it has lost nothing"
        server.stop()
        server.start()
        await store.settle(settlement("r3"))
        await store.settle(settlement("r2", team="other"))
        await store.expire(NOW)
    assert [message.split(":")[0] for message in caplog.messages] == ["store_lost_data"]


@pytest.mark.parametrize(
    ("spoiled", "usd"),
    [
        (b"", (10, 10)),
        (b"\x00\x00\x00\x01\xc1", (10, 10)),
        (b"\x00\x00\x00\x02\x91\x01\x80", (10, 10)),  # a number where a hold is expected
        (reserving(reservation("bad", hold())).stored[:-9], (20, 0)),
    ],
    ids=["empty", "torn", "another shape", "torn entry"],
)
async def test_a_reservation_that_cannot_be_read_stops_no_other_and_costs_it_nothing(
    server: RedisServer, caplog: pytest.LogCaptureFixture, spoiled: bytes, usd: tuple[int, int]
) -> None:
    async with opened(server, timeout_ms=1000) as store:
        await asyncio.gather(*(store.reserve(reservation(id_, hold())) for id_ in ("a", "b", "bad", "good")))
        command: Command = ("HSET", "cg:{acme}:r", "b", spoiled, "bad", spoiled)
        await store._line.ask([command])
        assert [done.applied for done in await store.settle_all([settlement("a"), settlement("b", ("usd", 0))])] == [
            True
        ] * 2
        lapsed = await store.expire(NOW + 60)
        assert [(made.id, made.team, made.state) for made in lapsed] == [
            ("bad", TEAM, State.UNSETTLED), ("good", TEAM, State.UNSETTLED),
        ]  # fmt: skip
        assert await store.unsettled() == lapsed
        # Holds that nobody can read stay reserved: those of b too, which nothing else tells of.
        spent, reserved = usd
        assert await state(store) == (spent, 2 * reserved)
        assert [made.id for made in await ledger(store)] == ["bad", "a", "b", "good"]
        assert (await store.settle(settlement("bad", state=State.CORRECTED, time=0.0))).applied
        assert [made.id for made in await store.unsettled()] == ["good"]
    assert caplog.messages == [f"reservation_unreadable: the reservation of bad, team {TEAM}"]


async def test_without_a_server_it_opens_and_is_there_as_soon_as_the_server_is(
    server: RedisServer, changes: list[bool]
) -> None:
    server.stop()
    try:
        async with opened(server, changes) as store:
            assert max(await refusals(store, 5)) < SOON_S
            assert changes == [False]
            server.start()
            await back(store)
            assert changes == [False, True]
    finally:
        server.stop()
        server.start()


async def test_a_server_that_runs_no_scripts_is_away_and_stays_so(changes: list[bool]) -> None:
    with running("--rename-command", "EVALSHA", "") as server:
        async with opened(server, changes, timeout_ms=1000) as store:
            with pytest.raises(StoreUnavailableError, match="unknown command"):
                await store.touch()
            await refusals(store, 1)
            assert changes == [False]
            await asyncio.sleep(1.05)
            with pytest.raises(StoreUnavailableError, match="unknown command"):
                await store.version()
        assert changes == [False]


@pytest.mark.parametrize(
    ("away", "restored", "why"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "used memory > 'maxmemory'"),
    ],
    ids=["read only", "out of memory"],
)
async def test_a_server_that_can_only_be_read_is_away_until_it_can_be_written_to(
    server: RedisServer, changes: list[bool], away: tuple[str, ...], restored: tuple[str, ...], why: str
) -> None:
    async with opened(server, changes, timeout_ms=500) as store:
        await store.reserve(reservation("r1", hold()))
        server.ask(*away)
        try:
            await refusals(store, 1)
            assert changes == [False]
            with pytest.raises(StoreUnavailableError, match=f"^Redis: .*{why}.*; it is asked again within a second"):
                await store.version()
            await asyncio.sleep(1.05)
            with pytest.raises(StoreUnavailableError):
                await store.version()  # reading would work
            await asyncio.sleep(1.05)
            with pytest.raises(StoreUnavailableError, match=why):
                await store.touch()
            assert changes == [False]
        finally:
            server.ask(*restored)
        await back(store)
        assert changes == [False, True]


async def test_two_stores_on_one_server_never_pass_a_limit(server: RedisServer) -> None:
    async with opened(server, timeout_ms=5000) as one, opened(server, timeout_ms=5000) as other:

        async def spend(store: RedisStore, name: str) -> int:
            """Reserve, and settle for less, until there is no room; return what was spent."""
            spent = 0
            for number in range(1000):
                id_ = f"{name}-{number}"
                if isinstance(await store.reserve(reservation(id_, hold(amount=7, limit=1000))), Refused):
                    return spent
                settled = await store.settle(settlement(id_, ("usd", 3)))
                assert all(standing.spent + standing.reserved <= 1000 for standing in settled.standings)
                spent += 3
            return spent

        spent = await asyncio.gather(*(spend(store, f"{n}{store is one}") for n in range(8) for store in (one, other)))
        # The last ones of sixteen callers found too little room beside what the others held.
        assert sum(spent) <= 1000
        assert sum(spent) > 1000 - 16 * 7
        assert await state(one) == (sum(spent), 0) == await state(other)


async def test_counters_that_ended_days_ago_are_forgotten_as_others_begin(server: RedisServer) -> None:
    now = time.time()
    day = 86400

    def ending(counter: str, at: float) -> Hold:
        return Hold(counter, 1, 100, 1, at)

    async with opened(server, timeout_ms=5000) as store:
        holds = (
            ending("old", now - 9 * day),
            ending("held", now - 9 * day),
            ending("recent", now - day),
            hold("total"),
        )
        await store.reserve(reservation("r1", *holds, time=now - 9 * day))
        await store.reserve(reservation("r2", holds[1], time=now - 9 * day))
        await store.settle(settlement("r1", time=now - 9 * day))
        await store.reserve(reservation("r3", ending("new", now + day), time=now))
    left = server.ask("KEYS", "cg:{acme}:c:*")
    assert [name for name in (b"old", b"held", b"recent", b"total", b"new") if b":" + name not in left] == [b"old"]
    assert b":3\r\n" in server.ask("ZCARD", "cg:{acme}:ends")


async def test_a_script_keeps_to_the_slot_of_its_team() -> None:
    # A cluster of one server refuses scripts that touch two slots.
    with running("--cluster-enabled", "yes") as server:
        for start in range(0, 16384, 4096):
            server.ask("CLUSTER", "ADDSLOTS", *range(start, start + 4096))
        deadline = time.monotonic() + 10
        while b"cluster_state:ok" not in server.ask("CLUSTER", "INFO"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        async with opened(server, timeout_ms=5000) as store:
            for team in (TEAM, "", ODD, "{}", "}{", "documents"):
                await store.reserve(reservation("r1", hold(ODD), hold("{other}"), team=team))
                await store.reserve(reservation("r2", hold(ODD), team=team))
                await store.renew({team: ["r1"]}, NOW + 120)
                assert [lapsed.team for lapsed in await store.expire(NOW + 60)] == [team]
                await store.settle_all([settlement("r1", (ODD, 1), team=team), settlement("r2", (ODD, 1), team=team)])
                assert await state(store, ODD, team) == (2, 0)
                assert [found.id for found in await ledger(store, team=team)] == ["r1", "r2"]
            await put(store, Kind.TEAM, ODD, b"{}")
            assert await store.documents(Kind.TEAM) == {ODD: b"{}"}
            assert [row.requests for row in await store.usage(ALWAYS, (Group.TEAM,))] == [2] * 6
            assert await store.prune(NOW + 7200) == 12


async def test_a_change_that_is_sent_again_is_made_once_and_is_said_to_be(server: RedisServer) -> None:
    """The line does so where it lost the connection, and maybe an answer."""
    async with opened(server, timeout_ms=5000) as store:
        keys = (store._keys.version, store._keys.documents(Kind.TEAM))
        first = scripts().change.call(keys, 17, 0, 2, "acme", b"1")
        later = scripts().change.call(keys, 18, 0, 2, "acme", b"2")
        assert await store._line.ask([first, first, later]) == [1, 1, 0]
        assert (await store.documents(Kind.TEAM), await store.version()) == ({"acme": b"1"}, 17)


async def test_stores_of_other_prefixes_are_others(server: RedisServer) -> None:
    other = RedisStore(server.url, 5000, prefix="other")
    await other.open()
    async with opened(server, timeout_ms=5000) as store:
        await store.settle(settlement("r1", ("usd", 5)))
        await put(store, Kind.TEAM, "acme", b"{}")
        assert await state(other) == (0, 0)
        assert (await ledger(other), await other.documents(Kind.TEAM), await other.version()) == ([], {}, 0)
    await other.close()


async def test_before_it_is_opened_and_after_it_is_closed_it_is_away(server: RedisServer) -> None:
    store = RedisStore(server.url, TIMEOUT_MS)
    with pytest.raises(StoreUnavailableError):
        await store.version()
    await store.close()
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.version()


def test_what_is_no_url_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="redis://"):
        RedisStore("http://127.0.0.1", TIMEOUT_MS)
