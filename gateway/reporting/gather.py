"""What a report is made of, read from the store."""

import asyncio
from dataclasses import dataclass

from gateway.reporting.rows import Table, table
from gateway.store.contract import Store
from gateway.store.entries import Group, Span

_CHARTED = (Group.DAY, Group.TEAM, Group.MODEL, Group.STATE)
_MOST_ROWS = 100
_MOST_BARS = 15


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about."""

    span: Span
    groups: tuple[Group, ...]
    team: str | None = None
    most: int | None = None  # of more groups than that, the largest


@dataclass(frozen=True, slots=True)
class Charted:
    """A report with what its charts show; of more groups than can be looked at, the largest."""

    scope: Scope
    table: Table
    days: Table
    teams: Table
    models: Table


def groups_of(text: str) -> tuple[Group, ...]:
    """Return the groups that a list such as "team,model" names, each once.

    Raises:
        ValueError: one of them is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in set(Group)]:
        raise ValueError(f"{unknown[0]!r}: expected some of {', '.join(Group)}")
    return tuple(dict.fromkeys(map(Group, names)))


async def tabled(store: Store, scope: Scope) -> Table:
    """Return the sums by the scope's groups."""
    by = _with_state(scope.groups)
    usages = await store.usage(scope.span, by, scope.team)
    # A hundred thousand groups take seconds, in which requests are served.
    return await asyncio.to_thread(table, usages, by, scope.groups, scope.most)


async def charted(store: Store, scope: Scope) -> Charted:
    """Return the same with the charts' sums; all from one reading where the groups are those that charts have."""
    usages = await store.usage(scope.span, _CHARTED, scope.team)
    by = _CHARTED if set(scope.groups) <= set(_CHARTED) else _with_state(scope.groups)
    own = usages if by == _CHARTED else await store.usage(scope.span, by, scope.team)
    return Charted(
        scope=scope,
        table=table(own, by, scope.groups, _MOST_ROWS),
        days=table(usages, _CHARTED, (Group.DAY,)),
        teams=table(usages, _CHARTED, (Group.TEAM,), _MOST_BARS),
        models=table(usages, _CHARTED, (Group.MODEL,), _MOST_BARS),
    )


def _with_state(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Add the state, by which requests on which nothing was spent are told from those of unknown cost."""
    return groups if Group.STATE in groups else (*groups, Group.STATE)
