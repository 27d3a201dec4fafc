"""Many rows in one step: each step of SQLite gives Python's lock away and has to wait for it again."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter
from typing import TypeVar

T = TypeVar("T")

_LARGEST = 128  # rows; times the ledger's columns that is well below SQLite's limit of 32,766 values

_COUNT = "(SELECT count(*) FROM k CROSS JOIN {table} AS t ON t.team = k.team AND t.id = k.id)"


def insert(db: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]], after: str = "") -> None:
    """Insert the rows: `into` names table and columns, `after` is a clause behind the values."""
    for some in _pieces(rows):
        db.execute(f"{into} VALUES {_places(len(some), len(some[0]))}{after}", tuple(chain.from_iterable(some)))


def delete(db: sqlite3.Connection, table: str, keys: Iterable[tuple[str, str]]) -> None:
    """Delete the rows of these teams and ids."""
    for team, of_team in groupby(sorted(keys), itemgetter(0)):
        for some in _pieces([key[1] for key in of_team]):
            marks = ", ".join("?" * len(some))
            db.execute(f"DELETE FROM {table} WHERE team = ? AND id IN ({marks})", (team, *some))  # noqa: S608 - names


def present(db: sqlite3.Connection, tables: tuple[str, ...], keys: Sequence[tuple[str, str]]) -> int:
    """Return how many of these teams and ids the tables have, all together."""
    found = 0
    for some in _pieces(keys):
        found += db.execute(_counting(tables, len(some)), tuple(chain.from_iterable(some))).fetchone()[0]
    return found


@lru_cache(maxsize=64)
def _counting(tables: tuple[str, ...], rows: int) -> str:
    counts = " + ".join(_COUNT.format(table=table) for table in tables)
    return f"WITH k (team, id) AS (VALUES {_places(rows, 2)}) SELECT {counts}"


def _pieces(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into pieces of 128, 64, ... 1, so that there are few statements, each of which SQLite keeps prepared."""
    start, left = 0, len(rows)
    while left:
        size = min(_LARGEST, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start, left = start + size, left - size


@lru_cache(maxsize=256)
def _places(rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return ", ".join([row] * rows)
