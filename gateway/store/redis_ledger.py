"""The ledger in Redis, read in pages: a hash of entries for each team and hour, and one of a team's unsettled ones."""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.store.entries import Entry, Group, Span, Usages
from gateway.store.queries import Page, Place, Query, place
from gateway.store.redis_batch import Reply
from gateway.store.redis_keys import Keys, bounds, hour_of
from gateway.store.redis_line import Line
from gateway.store.redis_records import entry_of, lapsed_of
from gateway.store.redis_scripts import Command, scripts
from gateway.store.sums import Sums

_WIDTH = 8  # hashes read at once
_WIDE = 64  # of those that hold little each
_MOST_HOURS = 8  # read at once for a page of the latest
_PAGE = 250  # about how many entries of each
_TOGETHER = 64  # teams asked about in one round trip
_ASKED = 512  # hashes asked for one field in one round trip
_STEP = 1000  # counters forgotten in one script
_LOOKED_AT = 20_000  # entries for a page of the latest; an hour that was begun is read to its end

Row = tuple[str, bytes, bytes]  # key, field, value


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads and prunes the ledger by a line of its own, so that requests do not wait behind large replies."""

    line: Line
    keys: Keys

    async def teams(self, team: str | None = None) -> list[str]:
        """Return the team, or all."""
        if team is not None:
            return [team]
        (names,) = await self.line.ask([("SMEMBERS", self.keys.teams)])
        return sorted(name.decode() for name in names)

    async def unsettled(self, team: str | None = None) -> tuple[Entry, ...]:
        """Return the unsettled entries, oldest first."""
        found: list[Entry] = []
        names = {self.keys.unsettled(name): name for name in await self.teams(team)}
        async for rows in walk(self.line, names):
            found += [lapsed_of(names[key], id_.decode(), stored) for key, id_, stored in rows]
        return tuple(sorted(found, key=place))

    async def entries(self, span: Span, team: str | None) -> AsyncIterator[Entry]:
        """Yield the span's entries, an hour at a time, oldest first."""
        # Unsettled ones first: one that is settled meanwhile is met twice, not missed.
        lapsed = await self._lapsed(span, team)
        hours = await self._hours(span, team)
        for hour in sorted({*hours, *lapsed}):
            rows = [row async for page in walk(self.line, hours.get(hour, [])) for row in page]
            for entry in await asyncio.to_thread(_in_order, rows, span, lapsed.get(hour, [])):
                yield entry

    async def usage(self, span: Span, groups: Sequence[Group], team: str | None) -> tuple[Usages, ...]:
        """Return the sums over the span's entries."""
        lapsed = [entry for hour in (await self._lapsed(span, team)).values() for entry in hour]
        hours = await self._hours(span, team)
        sums = Sums(groups)
        async for rows in walk(self.line, [key for keys in hours.values() for key in keys]):
            lapsed = await asyncio.to_thread(_add, sums, rows, span, lapsed)
        sums.add(lapsed)
        return await asyncio.to_thread(sums.usages)

    async def latest(self, query: Query, before: Place | None, limit: int) -> Page:
        """Return the latest entries that the query asks for, an hour at a time, newest first."""
        until = query.until if before is None else min(query.until, math.nextafter(before.time, math.inf))
        span = Span(query.since, until)
        lapsed = await self._lapsed(span, query.team)
        hours = await self._hours(span, query.team)
        found: list[Entry] = []
        looked_at = 0
        for some in _growing(sorted({*hours, *lapsed}, reverse=True)):
            if looked_at >= _LOOKED_AT:
                return Page(tuple(found), Place(bounds(some[0])[1], "", ""))
            keys = [key for hour in some for key in hours.get(hour, [])]
            rows = [row async for page in walk(self.line, keys, _WIDE) for row in page]
            looked_at += len(rows)
            late = [entry for hour in some for entry in lapsed.get(hour, [])]
            found += await asyncio.to_thread(_wanted, rows, span, late, query, before)
            if len(found) >= limit:
                return Page(tuple(found[:limit]), place(found[limit - 1]))
        return Page(tuple(found), None)

    async def find(self, id_: str, span: Span) -> Entry | None:
        """Return the entry of that id and time."""
        keys = [key for keys in (await self._hours(span, None)).values() for key in keys]
        async for stored in self._each(keys, id_):
            if span.since <= (entry := entry_of(stored)).time < span.until:
                return entry
        async for stored in self._each([self.keys.unsettled(team) for team in await self.teams()], id_):
            if span.since <= (entry := lapsed_of("", id_, stored)).time < span.until:
                return entry
        return None

    async def _each(self, keys: Sequence[str], field: str) -> AsyncIterator[bytes]:
        """Yield the field's value of each hash that has it."""
        for start in range(0, len(keys), _ASKED):
            for stored in await self.line.ask([("HGET", key, field) for key in keys[start : start + _ASKED]]):
                if stored is not None:
                    yield stored

    async def prune(self, before: float) -> int:
        """Forget settled entries and counters; return how many entries."""
        forgotten = 0
        teams = await self.teams()
        for team, hour in await self._known_hours(teams):
            start, end = bounds(hour)
            if end <= before:
                forgotten += await self._drop(team, hour)
            elif start < before:
                forgotten += await self._drop_some(self.keys.ledger(team, hour), before)
        for team in teams:
            await self._forget_counters(team, before)
        return forgotten

    async def _lapsed(self, span: Span, team: str | None) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in await self.unsettled(team):
            if span.since <= entry.time < span.until:
                found[hour_of(entry.time)].append(entry)
        return found

    async def _hours(self, span: Span, team: str | None) -> dict[str, list[str]]:
        """Return the keys of the span's hours."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, hour in await self._known_hours(await self.teams(team)):
            start, end = bounds(hour)
            if start < span.until and end > span.since:
                found[hour].append(self.keys.ledger(name, hour))
        return found

    async def _known_hours(self, teams: Sequence[str]) -> list[tuple[str, str]]:
        """Return the teams' hours, each with its team."""
        found: list[tuple[str, str]] = []
        for start in range(0, len(teams), _TOGETHER):
            part = teams[start : start + _TOGETHER]
            replies = await self.line.ask([("SMEMBERS", self.keys.hours(team)) for team in part])
            found += [(team, hour.decode()) for team, hours in zip(part, replies, strict=True) for hour in hours]
        return found

    async def _drop(self, team: str, hour: str) -> int:
        key = self.keys.ledger(team, hour)
        # Off the index first: an entry that is written in between puts it there again.
        count, *_ = await self.line.ask([("HLEN", key), ("SREM", self.keys.hours(team), hour), ("UNLINK", key)])
        return int(count)

    async def _drop_some(self, key: str, before: float) -> int:
        forgotten = 0
        async for rows in walk(self.line, [key]):
            old = await asyncio.to_thread(_older, rows, before)
            if old:
                (count,) = await self.line.ask([("HDEL", key, *old)])
                forgotten += int(count)
        return forgotten

    async def _forget_counters(self, team: str, before: float) -> None:
        command = scripts().forget.call(self.keys.of_scripts(team), self.keys.base(team), repr(before), _STEP)
        while (await self.line.ask([command])) == [_STEP]:
            pass


def _growing(hours: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the hours one, two, four... at a time: often the first has all that is asked for."""
    start, size = 0, 1
    while start < len(hours):
        yield hours[start : start + size]
        start, size = start + size, min(2 * size, _MOST_HOURS)


async def walk(line: Line, keys: Iterable[str], width: int = _WIDTH) -> AsyncIterator[list[Row]]:
    """Yield what is in the hashes, several of them in one round trip, a page of each; nothing twice."""
    ahead = iter(keys)
    # Redis may return a field again while a hash grows or shrinks; that can't be where one page holds all.
    cursors: dict[str, bytes] = {}
    seen: dict[str, set[bytes]] = {}
    while True:
        while len(cursors) < width and (key := next(ahead, None)) is not None:
            cursors[key] = b"0"
        if not cursors:
            return
        asked = list(cursors)
        commands: list[Command] = [("HSCAN", key, cursors[key], "COUNT", _PAGE) for key in asked]
        rows: list[Row] = []
        for key, (cursor, flat) in zip(asked, await line.ask(commands), strict=True):
            rows += _fresh(key, flat, seen.setdefault(key, set()))
            if cursor == b"0":
                del cursors[key], seen[key]
            else:
                cursors[key] = cursor
        yield rows


def _fresh(key: str, flat: Sequence[Reply], seen: set[bytes]) -> list[Row]:
    rows = [(key, field, value) for field, value in zip(flat[::2], flat[1::2], strict=True) if field not in seen]
    seen.update(flat[::2])
    return rows


def _within(rows: Sequence[Row], span: Span) -> list[Entry]:
    entries = (entry_of(value) for _, _, value in rows)
    return [entry for entry in entries if span.since <= entry.time < span.until]


def _add(sums: Sums, rows: Sequence[Row], span: Span, lapsed: Sequence[Entry]) -> list[Entry]:
    """Add the span's entries; return what is left of the lapsed ones, which are none of these."""
    entries = _within(rows, span)
    sums.add(entries)
    settled = {(entry.team, entry.id) for entry in entries} if lapsed else set()
    return [entry for entry in lapsed if (entry.team, entry.id) not in settled]


def _in_order(rows: Sequence[Row], span: Span, lapsed: Sequence[Entry]) -> list[Entry]:
    """Return the entries in the ledger's order; of one that is in both, the settled one."""
    found = {(entry.team, entry.id): entry for entry in (*lapsed, *_within(rows, span))}
    return sorted(found.values(), key=place)


def _wanted(
    rows: Sequence[Row], span: Span, lapsed: Sequence[Entry], query: Query, before: Place | None
) -> list[Entry]:
    """Return the entries that are asked for, newest first."""
    found = query.among(reversed(_in_order(rows, span, lapsed)))
    return [entry for entry in found if before is None or place(entry) < before]


def _older(rows: Sequence[Row], before: float) -> list[bytes]:
    return [field for _, field, value in rows if entry_of(value).time < before]
