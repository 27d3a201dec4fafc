import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from gateway.budgets.limits import Limit, Spender, limits_of
from gateway.budgets.periods import Calendar
from gateway.budgets.sweeping import Sweeper
from gateway.policies import TeamPolicy
from gateway.store.contract import Settlement
from gateway.store.entries import Entry, State
from tests.gateway.budgets.desks import MODEL, NOW, Desk, caller, desk

BUDGET = caller(budget={"tokens": 1000, "period": "day"})
RATES = caller(limits={"requests_per_minute": 9, "tokens_per_minute": 900, "concurrent": 9})
DAY = 86_400


class Expired:
    """Notes what it is told."""

    def __init__(self, policy: TeamPolicy | None = None) -> None:
        self.ids: list[list[str]] = []
        self.policy = policy or TeamPolicy()
        self.some = asyncio.Event()

    def __call__(self, entries: Sequence[Entry]) -> None:
        self.ids.append(sorted(entry.id for entry in entries))
        self.some.set()


def sweeper(
    at: Desk,
    expired: Expired,
    reservation_s: float = 60.0,
    retention_days: int = 30,
    *,
    clock: Callable[[], float] | None = None,
    failed: Callable[[Exception], None] = lambda _error: None,
) -> Sweeper:
    def limits(entry: Entry) -> Sequence[Limit]:
        return limits_of(expired.policy, Spender(entry.key, entry.user, MODEL, MODEL), Calendar(), entry.time)

    said = expired, limits, at.reached.append, at.standings
    return Sweeper(at.store, at.admission, reservation_s, retention_days, *said, clock or at.clock, failed)


@asynccontextmanager
async def running(of: Sweeper) -> AsyncIterator[None]:
    task = asyncio.create_task(of.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_lives_is_renewed_as_long_as_it_lives(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        expired = Expired()
        ticket = await at.admit("r1", BUDGET)
        for _ in range(10):
            at.clock.now += 59
            await sweeper(at, expired).sweep()
        assert await at.counted(ticket) == [(0, 100)]
        assert expired.ids == []


async def test_what_a_dead_process_left_is_charged_at_its_worst(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        expired = Expired()
        ticket, rated = await at.admit("r1", BUDGET), await at.admit("r2", RATES)
        at.admission.open.clear()
        at.clock.now += 59.9
        await sweeper(at, expired).sweep()
        assert expired.ids == []
        at.clock.now += 0.1
        await sweeper(at, expired).sweep()
        assert expired.ids == [["r1", "r2"]]
        assert await at.counted(ticket) == [(100, 0)]
        assert await at.counted(rated) == [(1, 0), (100, 0), (0, 0)], "none of its requests are under way"
        unsettled = await at.ledger()
        assert {entry.state for entry in unsettled} == {State.UNSETTLED}
        await sweeper(at, expired).sweep()
        assert len(expired.ids) == 1


async def test_what_was_thought_dead_and_ends_after_all_is_billed_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        expired = Expired()
        ticket = await at.admit("r1", BUDGET)
        at.admission.open.clear()
        at.clock.now += 61
        await sweeper(at, expired).sweep()
        at.settle(ticket, 30)
        await at.settling.finish()
        assert await at.counted(ticket) == [(30, 0)]
        assert [entry.state for entry in await at.ledger()] == [State.SETTLED]


async def test_it_sweeps_often_enough_for_another_process_not_to_take_it_for_dead(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.clock.now = time.time() - 59.4
        ticket = await at.admit("r1", RATES)
        async with running(sweeper(at, Expired(), 0.6, clock=time.time)):
            for _ in range(30):
                await asyncio.sleep(0.04)
                assert await at.store.expire(time.time()) == ()
        assert await at.counted(ticket) == [(0, 1), (0, 100), (0, 1)]


async def test_a_store_that_is_away_is_asked_again_later(tmp_path: Path) -> None:
    expired = Expired()
    async with desk(tmp_path, opened=False) as at, running(sweeper(at, expired, reservation_s=0.06)):
        await asyncio.sleep(0.03)
        await at.store.open()
        application = at.application("r1", BUDGET)
        await at.admission.admit(application)
        at.admission.open.clear()
        at.clock.now += 61
        await asyncio.wait_for(expired.some.wait(), 5)
        assert expired.ids == [["r1"]]


async def test_a_fault_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    told: list[Exception] = []
    asked = 0

    async with desk(tmp_path) as at:

        def clock() -> float:
            nonlocal asked
            asked += 1
            if asked <= 3:
                raise ZeroDivisionError
            return at.clock.now

        expired = Expired()
        await at.admit("r1", BUDGET)
        at.admission.open.clear()
        at.clock.now += 61
        async with running(sweeper(at, expired, 0.03, clock=clock, failed=told.append)):
            await asyncio.wait_for(expired.some.wait(), 5)
    assert expired.ids == [["r1"]]
    assert [type(error) for error in told] == [ZeroDivisionError]


async def test_an_outage_that_it_notices_begins_then_and_ends_when_the_store_answers(tmp_path: Path) -> None:
    midnight = NOW + 8 * 3600 + 29 * 60 + 48
    async with desk(tmp_path, opened=False, on_store_outage="open") as at:
        async with running(sweeper(at, Expired())):
            await asyncio.sleep(0.01)
        at.clock.now = midnight
        limits = at.admission.limits(BUDGET, MODEL, "", "main")
        hold = limits[0].hold(0, 10)
        assert at.admission.outage.admits("acme", limits, [hold]), "nobody can have spent anything of the new day"
        await at.store.open()
        await sweeper(at, Expired()).sweep()
        assert not at.admission.outage.admits("acme", limits, [hold]), "since then others may have"


async def test_the_ledger_is_pruned(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for age in (40, 31, 29, 0):
            entry = msgspec.structs.replace(at.application(f"r{age}", BUDGET).entry, time=NOW - age * DAY)
            await at.store.settle(Settlement(entry.id, "acme", (), entry))
        async with running(sweeper(at, Expired())):
            for _ in range(500):
                if len(await at.ledger()) == 2:
                    break
                await asyncio.sleep(0.01)
        assert [entry.id for entry in await at.ledger()] == ["r29", "r0"]


async def test_a_soft_limit_that_unsettled_requests_pass_is_announced_once(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 1000, "period": "day", "soft": [10, 25, 50]})
    async with desk(tmp_path) as at:
        expired = Expired(who.policy)
        at.settle(await at.admit("r0", who), 100)
        await at.settling.finish()
        for identity in ("r1", "r2"):
            await at.admit(identity, who)
        at.admission.open.clear()
        at.clock.now += 61
        for _ in range(2):
            await sweeper(at, expired).sweep()
        assert expired.ids == [["r1", "r2"]]
    assert [passed.percent for passed in at.reached] == [10, 25]
