"""Admission and settling on a real store in a file, with a clock that tests set, and what they tell."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.budgets.admission import Admission, Application, Ticket
from gateway.budgets.settling import Settling, Told
from gateway.budgets.standing import Reached, Standings
from gateway.budgets.worst_case import WorstCase
from gateway.config import Settings
from gateway.policies import TeamPolicy
from gateway.pricing import NANO, PriceBook
from gateway.record import RequestRecord
from gateway.store.contract import Standing
from gateway.store.entries import Entry, Span, State
from gateway.store.sqlite import SqliteStore
from gateway.teams.keys import Caller
from gateway.usage import Cost, Usage
from tests.gateway.records import RECORD

NOW = datetime(2026, 11, 24, 15, 30, 12, tzinfo=UTC).timestamp()
EVER = Span(0.0, 1e12)
MODEL = "gpt-4o-2024-08-06"
PRICES = {"main": PriceBook("https://api.openai.com/v1")}
DOLLAR_TOKENS = 1000  # tokens of the tests' requests that cost a dollar


@dataclass(slots=True)
class Clock:
    """The time, as the test says."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def settings(**fields: Any) -> Settings:
    return Settings.model_validate({"upstreams": {"main": {"base_url": "https://api.openai.com/v1"}}} | fields)


def caller(team: str = "acme", **policy: Any) -> Caller:
    return Caller(team, "key_1", TeamPolicy.model_validate(policy))


@dataclass(slots=True)
class Desk:
    """What admits and settles, and what was told."""

    store: SqliteStore
    clock: Clock
    standings: Standings
    admission: Admission
    settling: Settling = field(init=False)
    reached: list[Reached] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        told = Told(self.reached.append, self.lost.append)
        self.settling = Settling(self.store, self.admission, self.standings, told)

    def application(self, identity: str, who: Caller, tokens: int = 100, model: str = MODEL) -> Application:
        """Return a request that can cost so many tokens, of MODEL a thousand for a dollar, now."""
        limits = self.admission.limits(who, model, "ann", "main")
        worst = WorstCase(tokens - tokens // 10, tokens // 10)
        nano = tokens * NANO // DOLLAR_TOKENS if model == MODEL else None
        entry = Entry(
            id=identity, time=self.clock.now, team=who.team, key=who.key, user="ann", model=model,
            state=State.UNSETTLED, input=worst.prompt, output=worst.completion, cost_nano=nano,
        )  # fmt: skip
        return Application(identity, who, limits, worst, model, entry)

    async def admit(self, identity: str, who: Caller, tokens: int = 100) -> Ticket:
        return await self.admission.admit(self.application(identity, who, tokens))

    def settle(self, ticket: Ticket, tokens: int | None, **fields: Any) -> None:
        """Settle a request that used so many tokens; None: it cost nothing."""
        self.settling.settle(ticket, record(ticket, tokens, **fields))

    async def counted(self, ticket: Ticket) -> list[tuple[int, int]]:
        """Return what is spent and reserved now on each of the ticket's limits."""
        found = await self.store.standings(ticket.team, [limit.counter for limit in ticket.limits])
        return [(standing.spent, standing.reserved) for standing in found]

    async def ledger(self) -> list[Entry]:
        return [entry async for entry in self.store.entries(EVER)]


def record(ticket: Ticket, tokens: int | None, **fields: Any) -> RequestRecord:
    usage = None if tokens is None else Usage(tokens - tokens // 10, tokens // 10)
    cost = Cost() if tokens is None else Cost(Decimal(tokens) / DOLLAR_TOKENS)
    state = State.FREE if tokens is None else State.SETTLED
    return replace(
        RECORD, **{"id": ticket.id, "team": ticket.team, "usage": usage, "cost": cost, "state": state} | fields
    )


def standing(ticket: Ticket, place: int, spent: int, reserved: int) -> Standing:
    return Standing(ticket.limits[place].counter, spent, reserved)


@asynccontextmanager
async def desk(folder: Path, opened: bool = True, **fields: Any) -> AsyncIterator[Desk]:
    """Make a desk; a store that is not `opened` is away."""
    store, clock, standings = SqliteStore(folder / "gateway.db", "process"), Clock(), Standings()
    if opened:
        await store.open()
    try:
        admission = Admission(store, settings(**fields), standings, clock)
        admission.configure(settings(**fields), PRICES)
        yield Desk(store, clock, standings, admission)
    finally:
        await store.close()
