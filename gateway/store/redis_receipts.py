"""Receipts in Redis: a hash of the latest ones, and a list of their names in the order in which they came."""

from collections.abc import Iterator, Sequence

from gateway.store.receipts import Receipt, unpacked
from gateway.store.redis_keys import Keys
from gateway.store.redis_line import Line
from gateway.store.redis_scripts import Command, Value, scripts

Row = tuple[str, str, bytes]  # team, id, receipt
_TOGETHER = 32  # in one script, which holds up everybody else while it runs


async def keep(line: Line, keys: Keys, rows: Sequence[Row], most: int) -> None:
    """Write receipts, and forget all but the latest `most`."""
    for start in range(0, len(rows), _TOGETHER):
        args = [value for row in rows[start : start + _TOGETHER] for value in _named(row)]
        await line.ask([scripts().keep.call(keys.receipts, most, *args)])


async def receipt(line: Line, keys: Keys, team: str, id_: str) -> Receipt | None:
    """Return the request's receipt."""
    command: Command = ("HGET", keys.receipts[0], _name(team, id_))
    (stored,) = await line.ask([command])
    return unpacked(stored) if stored else None


async def forget(line: Line, keys: Keys, before: float) -> None:
    """Forget receipts of requests before that time, from the first that came to one that is none."""
    kept, order = keys.receipts
    while True:
        (names,) = await line.ask([("LRANGE", order, -_TOGETHER, -1)])
        bodies = (await line.ask([("HMGET", kept, *names)]))[0] if names else []
        old = [name for name, body in zip(names, bodies, strict=True) if body is None or unpacked(body).time < before]
        if old:
            await line.ask([*(("LREM", order, -1, name) for name in old), ("HDEL", kept, *old)])
        if not names or len(old) < len(names):
            return


def _named(row: Row) -> Iterator[Value]:
    team, id_, stored = row
    yield _name(team, id_)
    yield stored


def _name(team: str, id_: str) -> str:
    return f"{team}\0{id_}"  # no team's name holds that
