import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.admission import _MOST_KNOWN, Admission, Ticket
from gateway.budgets.standing import Standings
from gateway.errors import GatewayError, InsufficientQuotaError, NotAllowedError, RateLimitError, StoreOutageError
from gateway.pricing import NANO
from gateway.store.contract import Hold, Refused
from gateway.store.sqlite import SqliteStore
from gateway.teams.keys import Caller
from tests.gateway.budgets.desks import EVER, MODEL, NOW, PRICES, Clock, Desk, caller, desk, settings, standing

UNTIL_MIDNIGHT = 8 * 3600 + 29 * 60 + 48


async def refusal(at: Desk, identity: str, who: Caller, tokens: int = 100) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await at.admit(identity, who, tokens)
    return raised.value


def header(error: GatewayError, name: bytes) -> bytes | None:
    return dict(error.headers).get(name)


async def test_who_has_no_limits_reserves_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        assert await at.admit("r1", caller(models=["gpt-4o"])) == Ticket("r1", "acme")
        assert at.admission.open == {}
        assert await at.store.expire(1e12) == ()


async def test_a_request_reserves_its_worst_case_on_all_its_limits(tmp_path: Path) -> None:
    who = caller(
        budget=[{"usd": 5, "period": "day"}, {"tokens": 1000}],
        limits={"requests_per_minute": 9, "tokens_per_minute": 500, "concurrent": 2},
    )
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", who)
        assert await at.counted(ticket) == [(0, NANO // 10), (0, 100), (0, 1), (0, 100), (0, 1)]
        assert [hold.limit for hold in ticket.holds] == [5 * NANO, 1000, 9, 500, 2]
        assert ticket.standings == tuple(
            standing(ticket, place, 0, held) for place, held in enumerate([NANO // 10, 100, 1, 100, 1])
        )
        assert at.standings.of("acme", ticket.limits[0]) == ticket.standings[0]
        assert (ticket.local, at.admission.open) == (False, {"acme": {"r1"}})


async def test_a_dated_model_is_held_to_its_models_budget(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for budget in ({"tokens": 9, "models": ["gpt-4o"]}, {"tokens": 9, "per": "model"}):
            who = caller(budget=budget)
            names = [at.admission.limits(who, model, "", "main") for model in ("gpt-4o", MODEL, "gpt-4o-2024-11-20")]
            assert len(names[0]) == 1
            assert names[0] == names[1] == names[2]
            assert at.admission.limits(who, "o3", "", "main") != names[0]


async def test_another_policy_counts_from_the_next_request_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        before, after = (caller(budget={"tokens": most, "period": "day"}) for most in (9, 8))
        found = [at.admission.limits(who, MODEL, "", "main")[0] for who in (before, before, after)]
        assert [limit.most for limit in found] == [9, 9, 8]
        assert len({limit.counter for limit in found}) == 1
        at.clock.now += UNTIL_MIDNIGHT
        assert at.admission.limits(after, MODEL, "", "main")[0].counter != found[0].counter


async def test_of_many_spenders_the_first_are_forgotten_and_looked_up_again(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 9, "per": "user"})
    async with desk(tmp_path) as at:
        users = [f"u{number}" for number in range(_MOST_KNOWN + 9)]
        found = [at.admission.limits(who, MODEL, user, "main") for user in users]
        assert [key[2] for key in at.admission._known] == users[9:]
        assert at.admission.limits(who, MODEL, "u0", "main") == found[0]


async def test_of_an_upstream_without_prices_models_are_called_as_they_are_asked_for(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 9, "per": "model"})
    async with desk(tmp_path) as at:
        (limit,) = at.admission.limits(who, "llama", "", "other")
        (nameless,) = at.admission.limits(who, None, "", "other")
        assert "|llama|" in limit.counter
        assert limit.counter != nameless.counter


async def test_a_budget_without_room_refuses_once_and_for_all(tmp_path: Path) -> None:
    who = caller(budget={"usd": 0.25, "period": "day"}, limits={"concurrent": 9})
    async with desk(tmp_path) as at:
        first, second = await at.admit("r1", who), await at.admit("r2", who)
        error = await refusal(at, "r3", who)
        assert isinstance(error, InsufficientQuotaError)
        assert (error.status, error.code) == (429, "insufficient_quota")
        assert header(error, b"x-should-retry") == b"false"
        assert header(error, b"retry-after") == b"%d" % UNTIL_MIDNIGHT
        assert str(error) == (
            "No room in the budget: of the $0.25 a day $0.00 are spent and $0.20 reserved by requests under way; this "
            "request can cost $0.10. It begins anew at 2026-11-25 00:00:00 UTC."
        )
        assert await at.counted(first) == [(0, NANO // 5), (0, 2)], "of what is refused nothing is taken"
        assert at.admission.open == {"acme": {"r1", "r2"}}
        assert at.standings.of("acme", second.limits[0]) == standing(second, 0, 0, NANO // 5)


async def test_a_request_that_fits_exactly_is_let_through(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 300})
    async with desk(tmp_path) as at:
        await at.admit("r1", who, 200)
        assert isinstance(await refusal(at, "r2", who, 101), InsufficientQuotaError)
        await at.admit("r3", who, 100)


async def test_a_total_never_begins_anew(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        error = await refusal(at, "r1", caller(budget={"tokens": 99, "period": "total"}))
        assert error.headers == [(b"x-should-retry", b"false")]
        assert "begins anew" not in str(error)


@pytest.mark.parametrize(
    ("rates", "after", "words"),
    [
        ({"requests_per_minute": 1}, b"48", "1 requests per minute; used 1, requested 1."),
        ({"tokens_per_minute": 150}, b"48", "150 tokens per minute; used 100, requested 100."),
        ({"concurrent": 1}, b"1", "1 requests at the same time; used 1, requested 1."),
    ],
)
async def test_a_rate_without_room_says_when_to_ask_again(
    tmp_path: Path, rates: dict[str, int], after: bytes, words: str
) -> None:
    who = caller(budget={"tokens": 10_000}, limits=rates)
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", who)
        error = await refusal(at, "r2", who)
        assert isinstance(error, RateLimitError)
        assert (error.status, error.code) == (429, "rate_limit_exceeded")
        assert error.headers == [(b"retry-after", after)]
        assert str(error) == f"Rate limit reached: {words}"
        assert (await at.counted(ticket))[0] == (0, 100)


async def test_a_new_minute_has_room_again(tmp_path: Path) -> None:
    who = caller(limits={"requests_per_minute": 1})
    async with desk(tmp_path) as at:
        await at.admit("r1", who)
        at.clock.now += 47.9
        await refusal(at, "r2", who)
        at.clock.now += 0.1
        await at.admit("r3", who)


@pytest.mark.parametrize(
    "policy", [{"budget": {"tokens": 9, "period": "hour"}}, {"limits": {"tokens_per_minute": 9}}], ids=str
)
@pytest.mark.parametrize("late", [-0.001, 0.0, 0.5, 90.0])
async def test_who_comes_late_in_a_period_is_told_to_wait_a_second(
    tmp_path: Path, policy: dict[str, Any], late: float
) -> None:
    async with desk(tmp_path) as at:
        application = at.application("r1", caller(**policy))
        at.clock.now = (application.limits[0].stretch.until or 0.0) + late
        with pytest.raises(GatewayError) as raised:
            await at.admission.admit(application)
        assert header(raised.value, b"retry-after") == b"1"


@given(st.floats(NOW, NOW + 40 * 86_400), st.sampled_from(["hour", "day", "week", "month"]), st.floats(0, 30))
def test_retry_after_is_a_whole_number_of_seconds_after_which_there_is_room(
    now: float, period: str, late: float
) -> None:
    clock = Clock(now)
    admission = Admission(SqliteStore(Path("none"), "process"), settings(), Standings(), clock)
    admission.configure(settings(), PRICES)
    who = caller(budget={"tokens": 9, "period": period})
    (limit,) = admission.limits(who, None, "", "main")
    clock.now += late
    refused = Refused(0, (standing(Ticket("r", "acme", (limit,)), 0, 0, 0),))
    wait = admission._wait((limit,), (limit.hold(0, 10),), refused)
    assert wait is not None
    assert wait >= 1
    clock.now += wait
    assert admission.limits(who, None, "", "main")[0].counter != limit.counter


@pytest.mark.parametrize(
    ("tokens", "after"),
    [((150, 150, 9999), UNTIL_MIDNIGHT), ((150, 9999, 9999), 29 * 60 + 48), ((150, 150, 150), None)],
)
async def test_of_several_limits_without_room_the_last_one_to_begin_anew_counts(
    tmp_path: Path, tokens: tuple[int, int, int], after: int | None
) -> None:
    periods = zip(tokens, ("hour", "day", "total"), strict=True)
    who = caller(budget=[{"tokens": most, "period": period} for most, period in periods], limits={"concurrent": 1})
    async with desk(tmp_path) as at:
        await at.admit("r1", who)
        wait = header(await refusal(at, "r2", who), b"retry-after")
        assert wait == (None if after is None else b"%d" % after)


async def test_a_key_that_follows_another_counts_on_its_budgets(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 150, "per": "key"})
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", who)
        follows = replace(who, key="key_2", first=who.key)
        assert at.admission.limits(follows, MODEL, "ann", "main") == ticket.limits
        assert isinstance(await refusal(at, "r2", follows), InsufficientQuotaError)
        await at.admit("r3", replace(who, key="key_3"))


async def test_no_budget_in_dollars_pays_for_what_has_no_price(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        unknown = at.application("r1", caller(budget={"usd": 5}), model="llama")
        with pytest.raises(NotAllowedError, match="'llama'"):
            await at.admission.admit(unknown)
        in_tokens = at.application("r2", caller(budget={"tokens": 500}), model="llama")
        await at.admission.admit(in_tokens)
        other_models = caller(budget=[{"usd": 5, "models": ["gpt-4o"]}, {"tokens": 500}])
        await at.admission.admit(at.application("r3", other_models, model="llama"))


async def test_of_many_at_once_exactly_as_many_as_fit_are_let_through(tmp_path: Path) -> None:
    who = caller(budget=[{"usd": 1.05}, {"tokens": 100_000}], limits={"concurrent": 50})
    async with desk(tmp_path) as at:
        asked = [at.admit(f"r{number}", who) for number in range(60)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        admitted = [answer for answer in answers if isinstance(answer, Ticket)]
        assert len(admitted) == 10
        assert sum(isinstance(answer, InsufficientQuotaError) for answer in answers) == 50
        assert await at.counted(admitted[0]) == [(0, NANO), (0, 1000), (0, 10)]


async def test_a_reservation_expires_after_the_time_that_is_set(tmp_path: Path) -> None:
    async with desk(tmp_path, spending={"reservation_s": 30}) as at:
        await at.admit("r1", caller(budget={"tokens": 500}))
        assert await at.store.expire(NOW + 29.9) == ()
        (entry,) = await at.store.expire(NOW + 30)
        assert (entry.id, entry.input, entry.output) == ("r1", 90, 10)


async def test_without_a_store_who_has_limits_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False) as at:
        error = await refusal(at, "r1", caller(budget={"tokens": 500}))
        assert isinstance(error, StoreOutageError)
        assert (error.status, header(error, b"retry-after")) == (503, b"1")
        assert at.admission.open == {}
        assert await at.admit("r2", caller()) == Ticket("r2", "acme")


async def test_a_share_of_what_was_left_is_spent_without_a_store_where_that_is_wanted(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 1000})
    async with desk(
        tmp_path, opened=False, on_store_outage="open", redis={"url": "redis://localhost", "replicas": 2}
    ) as at:
        assert isinstance(await refusal(at, "r0", who), StoreOutageError), "nothing is known of this month"
        known = Ticket("", "acme", at.admission.limits(who, MODEL, "ann", "main"))
        at.standings.heard("acme", [standing(known, 0, 300, 100)])
        ticket = await at.admit("r1", who, 200)
        assert (ticket.local, [hold.amount for hold in ticket.holds]) == (True, [200])
        assert isinstance(await refusal(at, "r2", who, 101), StoreOutageError)
        await at.admit("r3", who, 100)
        assert at.admission.open == {"acme": {"r1", "r3"}}, "the store may have them all the same"


async def test_of_a_day_that_begins_during_an_outage_a_share_is_spent(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 1000, "period": "day"})
    async with desk(tmp_path, opened=False, on_store_outage="open") as at:
        await refusal(at, "r1", who)
        at.clock.now += UNTIL_MIDNIGHT
        assert (await at.admit("r2", who, 1000)).local


async def test_once_the_store_is_back_it_is_asked(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 1000, "period": "day"})
    async with desk(tmp_path, opened=False, on_store_outage="open") as at:
        await refusal(at, "r1", who)
        await at.store.open()
        ticket = await at.admit("r2", who)
        assert not ticket.local
        assert ticket.holds == (Hold(ticket.limits[0].counter, 100, 1000, 100, NOW + UNTIL_MIDNIGHT),)
        assert await at.counted(ticket) == [(0, 100)]
        assert [entry async for entry in at.store.entries(EVER)] == []


async def test_what_is_let_go_is_open_no_more(tmp_path: Path) -> None:
    who = caller(budget={"tokens": 1000})
    async with desk(tmp_path) as at:
        for identity in ("r1", "r2"):
            await at.admit(identity, who)
        at.admission.let_go("acme", "r1")
        at.admission.let_go("acme", "r1")
        at.admission.let_go("other", "r1")
        assert at.admission.open == {"acme": {"r2"}}
        at.admission.let_go("acme", "r2")
        assert at.admission.open == {}
