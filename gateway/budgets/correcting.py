"""An operator's word on a request that nobody settled: what it really used."""

from collections.abc import Mapping

import msgspec

from gateway.budgets.limits import Spender, Unit, limits_of
from gateway.budgets.periods import Calendar
from gateway.policies import TeamPolicy
from gateway.pricing import PriceBook
from gateway.store.contract import Charge, Settled, Settlement, Store
from gateway.store.entries import Entry, State
from gateway.usage import Usage


async def correct(  # noqa: PLR0913, PLR0917 - each of them is another's to know
    store: Store, prices: Mapping[str, PriceBook], policy: TeamPolicy, entry: Entry, usage: Usage, key: str = ""
) -> Settled:
    """Settle an unsettled entry with that usage, by counters and prices of its time; the worst case is taken back.

    A budget that was changed since counts as it is now; `key` is the id by which budgets know the entry's key, if that
    is another. Not applied: somebody settled it meanwhile.
    """
    book = prices.get(entry.upstream)
    nano = book.cost_nano(entry.model, usage, entry.time) if book else None
    corrected = msgspec.structs.replace(
        entry,
        state=State.CORRECTED,
        input=usage.prompt,
        cached=usage.cached,
        cache_written=usage.cache_written,
        output=usage.completion,
        cost_nano=nano,
    )
    priced = (book.canonical(entry.model) if book else None) or entry.model
    limits = limits_of(policy, Spender(key or entry.key, entry.user, priced, entry.model), Calendar(), entry.time)
    charges = tuple(
        Charge(limit.counter, limit.amount(nano or 0, usage.prompt + usage.completion), limit.stretch.until)
        for limit in limits
        if limit.unit is not Unit.CONCURRENT
    )
    return await store.settle(Settlement(entry.id, entry.team, charges, corrected))
