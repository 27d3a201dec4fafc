import asyncio
import socket

from gateway.http1.alive import keep_alive
from gateway.http1.dialing import Origin, Proxy, dial, trusting
from tests.gateway.http1.far import PATIENT, comes_true, far, signs_of_life, silent
from tests.gateway.http1.test_dialing import Relay


async def test_a_silent_connection_is_not_forgotten_on_its_way() -> None:
    async with far(silent) as origin, far(Relay()) as proxy:
        near = await dial(origin.origin, PATIENT)
        through = Origin("127.0.0.1", origin.port, trusting(None), Proxy("127.0.0.1", proxy.port))
        tunnelled = asyncio.ensure_future(dial(through, PATIENT))
        assert await comes_true(lambda: origin.connections == 2)
        assert sorted(signs_of_life(remote=origin.port)) == [False, True], "the proxy's own has none"
        # Not while what was sent is not acknowledged.
        assert await comes_true(lambda: signs_of_life(remote=proxy.port) == [True])
        tunnelled.cancel()
        near.abort()


def test_what_a_listening_socket_accepts_is_not_forgotten_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        keep_alive(listening)
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listening.accept()[0]:
            assert signs_of_life(local=port) == [True]
