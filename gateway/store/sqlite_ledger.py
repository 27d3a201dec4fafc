"""The ledger in SQLite: entries as rows, spans of them, sums over them."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from gateway.store.entries import Entry, Group, Span, State, Usages
from gateway.store.queries import Page, Place, Query, folded, place

FIELDS = Entry.__struct_fields__
PAGE = 500  # entries read at once
LOOKED_AT = 200_000  # entries for a page of the latest
_COLUMNS = ", ".join(FIELDS)
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(tuple[object, ...]).decode

_GROUPS = {
    **{group: group.value for group in Group},
    Group.STATUS: "CAST(status AS TEXT)",
    # Whole seconds: strftime rounds to milliseconds, and so the last of a day to the next day.
    Group.DAY: "strftime('%Y-%m-%d', CAST(time AS INTEGER), 'unixepoch')",
    Group.HOUR: "strftime('%Y-%m-%dT%H:00', CAST(time AS INTEGER), 'unixepoch')",
}
_BOTH = "tokens_original IS NOT NULL AND tokens_forwarded IS NOT NULL"
_SHADOW = "tokens_window IS NOT NULL"
_SUMS = {
    "requests": "count(*)",
    "windowed": "sum(decision = 'applied' AND tokens_forwarded IS NOT NULL)",
    "tokens_original": f"sum(CASE WHEN {_BOTH} THEN tokens_original ELSE 0 END)",
    "tokens_forwarded": f"sum(CASE WHEN {_BOTH} THEN tokens_forwarded ELSE 0 END)",
    **{name: f"sum({name})" for name in ("input", "cached", "cache_written", "output", "reasoning")},
    "priced": "count(cost_nano)",
    **{name: f"coalesce(sum({name}), 0)" for name in ("cost_nano", "saved_nano")},
    "refused": "sum(status = 429)",
    "failed": "sum(status >= 500)",
    "estimated": f"sum(state = '{State.ESTIMATED}')",
    "unsettled": f"sum(state = '{State.UNSETTLED}')",
    "timed": "sum(total_ms > 0)",
    "total_ms": "sum(total_ms)",
    "overhead_ms": "sum(overhead_ms)",
    "first_bytes": "count(first_byte_ms)",
    "first_byte_ms": "coalesce(sum(first_byte_ms), 0.0)",
    "slowest_ms": "max(total_ms)",
    "shadowed": "count(tokens_window)",
    "tokens_shadowed": f"coalesce(sum(CASE WHEN {_SHADOW} THEN tokens_original END), 0)",
    "tokens_window": "coalesce(sum(tokens_window), 0)",
    "shadow_priced": f"count(CASE WHEN {_SHADOW} THEN would_save_nano END)",
    "would_save_nano": f"coalesce(sum(CASE WHEN {_SHADOW} THEN would_save_nano END), 0)",
}


def pack(entry: Entry) -> bytes:
    """Return the entry's values in few bytes."""
    return _ENCODE(msgspec.structs.astuple(entry))


def unpack(packed: bytes) -> Entry:
    """Return the entry of these bytes; fields added since they were written get their defaults."""
    return _entry(_DECODE(packed))


def page(db: sqlite3.Connection, span: Span, team: str | None, after: Place | None) -> tuple[Entry, ...]:
    """Return the span's next entries, PAGE at most, oldest first."""
    where, values = _within(span, team)
    if after is not None:
        where, values = f"{where} AND time >= ? AND (time, team, id) > (?, ?, ?)", [*values, after.time, *after]
    query = f"SELECT {_COLUMNS} FROM ledger WHERE {where} ORDER BY time, team, id LIMIT {PAGE}"  # noqa: S608 - of our own words
    return tuple(_entry(row) for row in db.execute(query, values))


def latest(db: sqlite3.Connection, query: Query, before: Place | None, limit: int) -> Page:
    """Return the latest entries that the query asks for; LOOKED_AT of them are looked at, at most."""
    where, values = _within(Span(query.since, query.until), query.team)
    if before is not None:
        where, values = f"{where} AND time <= ? AND (time, team, id) < (?, ?, ?)", [*values, before.time, *before]
    scope = f"FROM ledger WHERE {where} ORDER BY time DESC, team DESC, id DESC"
    conditions = list(_conditions(query))
    wanted = " AND ".join(text for text, _ in conditions) or "1"
    looked = f"SELECT {_COLUMNS} {scope} LIMIT {LOOKED_AT}"
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM ({looked}) WHERE {wanted} LIMIT ?",  # noqa: S608 - of our own words
        [*values, *(value for _, own in conditions for value in own), limit],
    )
    found = tuple(map(_entry, rows))
    if len(found) == limit:
        return Page(found, place(found[-1]))
    last = db.execute(f"SELECT time, team, id {scope} LIMIT 1 OFFSET {LOOKED_AT - 1}", values).fetchone()
    return Page(found, Place(*last) if last else None)


def _conditions(query: Query) -> Iterator[tuple[str, Sequence[object]]]:
    for name, value in query.values:
        yield f"{name} = ?", [value]
    if query.status is not None:
        yield "status BETWEEN ? AND ?", query.status
    if query.text:
        named = " OR ".join(f"instr(lower({name}), ?)" for name in ("user", "model"))
        yield f"(substr(id, 1, ?) = ? OR {named})", [len(query.text), query.text, *[folded(query.text)] * 2]


def find(db: sqlite3.Connection, id_: str, span: Span) -> Entry | None:
    """Return the entry of that id and time."""
    query = f"SELECT {_COLUMNS} FROM ledger WHERE time >= ? AND time < ? AND id = ? LIMIT 1"  # noqa: S608 - of our own words
    row = db.execute(query, (span.since, span.until, id_)).fetchone()
    return _entry(row) if row else None


def unsettled(db: sqlite3.Connection, team: str | None) -> tuple[Entry, ...]:
    """Return the unsettled entries, oldest first."""
    where, values = ("", []) if team is None else ("AND team = ?", [team])
    query = f"SELECT {_COLUMNS} FROM ledger WHERE lapsed IS NOT NULL {where} ORDER BY time, team, id"  # noqa: S608 - of our own words
    return tuple(_entry(row) for row in db.execute(query, values))


def usage(db: sqlite3.Connection, span: Span, groups: Sequence[Group], team: str | None) -> tuple[Usages, ...]:
    """Return the sums over the span's entries, by groups."""
    by = [_GROUPS[group] for group in groups]
    where, values = _within(span, team)
    order = ", ".join(str(number + 1) for number in range(len(by)))
    grouped = f"GROUP BY {order} ORDER BY {order}" if by else ""
    query = f"SELECT {', '.join([*by, *_SUMS.values()])} FROM ledger WHERE {where} {grouped}"  # noqa: S608 - of our own words
    found = [(row[: len(by)], row[len(by) :]) for row in db.execute(query, values)]
    # Without groups there is a row even of no entries, and it holds NULLs.
    return tuple(Usages(group, **dict(zip(_SUMS, sums, strict=True))) for group, sums in found if sums[0])


def _within(span: Span, team: str | None) -> tuple[str, list[object]]:
    if team is None:
        return "time >= ? AND time < ?", [span.since, span.until]
    return "time >= ? AND time < ? AND team = ?", [span.since, span.until, team]


def _entry(row: Sequence[object]) -> Entry:
    # Not strict: SQLite's booleans are integers.
    return msgspec.convert(dict(zip(FIELDS, row, strict=False)), Entry, strict=False)
