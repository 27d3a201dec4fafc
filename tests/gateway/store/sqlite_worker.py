"""A worker process on a shared file: `python -m tests.gateway.store.sqlite_worker FILE NAME REQUESTS [LIMIT]`.

It reserves 1 of a shared limit, settles every second request for 1 and leaves the others; prints what was granted.
"""

import asyncio
import sys
from pathlib import Path

from gateway.store.contract import Granted
from gateway.store.sqlite import SqliteStore
from tests.gateway.store.cases import hold, reservation, settlement

CALLERS = 16
LIMIT = 2500
LAPSED = 3  # what a request is charged on the second counter when nobody settles it


async def main(path: Path, name: str, requests: int, limit: int = LIMIT) -> None:
    store = SqliteStore(path, "process")
    await store.open()
    granted = 0

    async def caller(place: int) -> None:
        nonlocal granted
        for number in range(place, requests, CALLERS):
            id_ = f"{name}.{number}"
            # A second counter, which moves with the first one: a half applied reservation would part them.
            holds = (hold("usd", 1, limit), hold("requests", 1, 10**9, lapsed=LAPSED))
            if isinstance(await store.reserve(reservation(id_, *holds)), Granted):
                granted += 1
                sys.stdout.write("+")
                sys.stdout.flush()
                if number % 2:
                    await store.settle(settlement(id_, ("usd", 1), ("requests", 1)))

    await asyncio.gather(*(caller(place) for place in range(CALLERS)))
    await store.close()
    sys.stdout.write(f"\n{granted}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
