import asyncio
import errno
import socket

import pytest
from fastapi import FastAPI

from benchmarks.processes import free_port, status_of
from gateway.api import apart


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/here")
    async def here() -> dict[str, str]:
        return {}

    return made


async def test_the_application_is_served_there_and_only_within_the_block() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/here"
    async with apart.serving(app(), f"127.0.0.1:{port}"):
        assert await asyncio.to_thread(status_of, url) == 200
    assert await asyncio.to_thread(status_of, url) == 0


async def test_several_workers_listen_on_one_address() -> None:
    port = free_port()
    async with apart.serving(app(), f"127.0.0.1:{port}"), apart.serving(app(), f"127.0.0.1:{port}"):
        statuses = [await asyncio.to_thread(status_of, f"http://127.0.0.1:{port}/here") for _ in range(6)]
    assert statuses == [200] * 6


def test_an_address_that_cannot_be_had_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError) as raised:
            apart.bound(f"127.0.0.1:{taken.getsockname()[1]}")
    assert raised.value.errno == errno.EADDRINUSE


async def test_an_address_that_others_share_cannot_be_had_alone() -> None:
    address = f"127.0.0.1:{free_port()}"
    apart.bound(address, shared=False).close()
    async with apart.serving(app(), address):
        with pytest.raises(OSError) as raised:
            apart.bound(address, shared=False)
    assert raised.value.errno == errno.EADDRINUSE
