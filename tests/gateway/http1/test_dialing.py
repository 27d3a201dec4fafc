import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.http1 import dialing
from gateway.http1.connection import Connection, Request, Timeouts
from gateway.http1.dialing import Origin, Proxy, dial, trusting
from gateway.http1.errors import NotConnectedError
from tests.gateway.http1.far import GET, OK, PATIENT, Play, comes_true, far, saying, silent, whole

LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that vouches for itself, and its key."""

    file: Path
    key: Path

    @classmethod
    def made(cls, folder: Path, name: str, *names: str) -> "Certificate":
        """Have openssl make one for these names."""
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("no openssl command to make certificates with")
        found = cls(folder / f"{name}.pem", folder / f"{name}.key")
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(names)}", "-days", "2"]
        subprocess.run([*command, "-out", str(found.file), "-keyout", str(found.key)], check=True, capture_output=True)
        return found

    def context(self) -> ssl.SSLContext:
        """Return a server's settings."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.made(tmp_path_factory.mktemp("tls"), "right", "IP:127.0.0.1", "DNS:localhost")


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.made(tmp_path_factory.mktemp("tls"), "misnamed", "DNS:elsewhere.example")


@asynccontextmanager
async def secured(play: Play, certificate: Certificate) -> AsyncIterator[int]:
    """Play behind TLS; yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        try:
            await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the near end has left, as it may, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate.context())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def asked(connection: Connection) -> bytes:
    """Return the body of the answer to a request."""
    body = await whole(await connection.send(GET))
    connection.abort()
    return body


class Relay:
    """A proxy that tunnels what it is asked to, or answers what it is told to; keeps the heads of its requests."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = self.heads[-1].split(b" ")[1].decode().rpartition(":")
        writer.write(self._answer)
        if b" 200 " in self._answer:
            onwards = await asyncio.open_connection(host.strip("[]"), int(port))
            await asyncio.wait(
                [
                    asyncio.ensure_future(_carried(reader, onwards[1])),
                    asyncio.ensure_future(_carried(onwards[0], writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            onwards[1].close()


async def _carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


# What addresses say.


@pytest.mark.parametrize(
    "url, host, port, secure",
    [
        ("http://localhost/v1", "localhost", 80, False),
        ("https://api.example.com/v1", "api.example.com", 443, True),
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, False),
        ("https://[::1]:8443/v1", "::1", 8443, True),
        ("http://user:secret@host.example:81", "host.example", 81, False),
    ],
)
def test_origins(url: str, host: str, port: int, secure: bool) -> None:
    origin = Origin.of(url)
    assert (origin.host, origin.port, origin.tls is not None, origin.proxy) == (host, port, secure, None)


@pytest.mark.parametrize(
    "url, host, port, header",
    [
        ("http://proxy.example", "proxy.example", 80, b""),
        ("http://proxy.example:3128", "proxy.example", 3128, b""),
        ("http://user:pass@proxy:1", "proxy", 1, b"proxy-authorization: Basic dXNlcjpwYXNz\r\n"),
        ("http://us%40er:p%3Ass@proxy:1", "proxy", 1, b"proxy-authorization: Basic dXNAZXI6cDpzcw==\r\n"),
        ("http://user@proxy:1", "proxy", 1, b"proxy-authorization: Basic dXNlcjo=\r\n"),
    ],
)
def test_proxies(url: str, host: str, port: int, header: bytes) -> None:
    proxy = Proxy.of(url)
    assert (proxy.host, proxy.port, proxy.header) == (host, port, header)


def test_the_usual_authorities_are_trusted_and_those_of_the_file_too(certificate: Certificate) -> None:
    usual, more = trusting(None), trusting(certificate.file)
    assert usual.verify_mode is ssl.CERT_REQUIRED
    assert usual.check_hostname
    assert usual.cert_store_stats()["x509_ca"] > 10
    assert more.cert_store_stats()["x509"] == usual.cert_store_stats()["x509"] + 1


def test_a_file_of_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        trusting(tmp_path / "missing.pem")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(OSError):
        trusting(tmp_path / "empty.pem")


# Straight there.


async def test_plain() -> None:
    async with far(saying(OK)) as server:
        assert await asked(await dial(server.origin, PATIENT)) == b"ok"


async def test_nobody_listens() -> None:
    async with far(silent) as server:
        origin = server.origin
    with pytest.raises(NotConnectedError) as raised:
        await dial(origin, PATIENT)
    assert str(origin.port) not in str(raised.value)  # callers get to read it


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "a..b", "\udcff"])
async def test_a_name_that_is_none(host: str) -> None:
    with pytest.raises(NotConnectedError):
        await dial(Origin(host, 80), PATIENT)


@contextmanager
def deaf() -> Iterator[tuple[str, int]]:
    """An address at which nobody answers."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for waiting in (first, second):  # its queue is full now, and who comes next gets no answer
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()


async def test_nobody_answers_in_time() -> None:
    with deaf() as address, pytest.raises(NotConnectedError, match="in time"):
        await dial(Origin(*address), Timeouts(0.1, 5, 5))


def resolved(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Have every name resolve to these addresses, in their order."""

    async def found(*_: object) -> list[tuple[int, object]]:
        return [(socket.AF_INET, address) for address in addresses]

    monkeypatch.setattr(dialing, "_addresses", found)


def refusing() -> tuple[str, int]:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address: tuple[str, int] = server.getsockname()
    return address


async def test_a_host_of_which_other_addresses_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it that they refuse or, as where the newer kind of addresses leads nowhere, that they say nothing."""
    async with far(saying(OK)) as server:
        with deaf() as silence:
            resolved(monkeypatch, silence, refusing(), ("127.0.0.1", server.port), silence)
            assert await asked(await dial(Origin("many.example", 80), PATIENT)) == b"ok"
        assert await comes_true(lambda: not server.open)
    assert server.connections == 1


async def test_a_host_of_which_all_addresses_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, refusing(), refusing())
    with pytest.raises(NotConnectedError, match=r"no connection$"):
        await dial(Origin("many.example", 80), PATIENT)
    with deaf() as silence:
        resolved(monkeypatch, silence, refusing(), silence)
        with pytest.raises(NotConnectedError, match="in time"):
            await dial(Origin("many.example", 80), Timeouts(0.6, 5, 5))


@pytest.mark.parametrize("framing", [b"Content-Length: 2000000", b"Connection: close"])
async def test_tls_that_ends_without_a_word_while_the_reader_is_slow(certificate: Certificate, framing: bytes) -> None:
    """As many servers end it; what has come by then is the reader's all the same."""

    def play(server: socket.socket) -> None:
        with server.accept()[0] as plain, certificate.context().wrap_socket(plain, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + b"x" * 2_000_000)
            socket.socket(fileno=tls.detach()).close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        playing = asyncio.create_task(asyncio.to_thread(play, server))
        connection = await dial(Origin("127.0.0.1", server.getsockname()[1], trusting(certificate.file)), PATIENT)
        size, reply = 0, await connection.send(GET)
        await playing
        async for piece in reply.chunks():
            size += len(piece)
            await asyncio.sleep(0.01)
        assert size == 2_000_000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_tls(certificate: Certificate, host: str) -> None:
    async with secured(saying(OK), certificate) as port:
        connection = await dial(Origin(host, port, trusting(certificate.file)), PATIENT)
        assert await whole(await connection.send(GET)) == b"ok"
        assert connection.reusable
        assert await asked(connection) == b"ok"


async def test_tls_with_much_to_carry_both_ways(certificate: Certificate) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(3_000_000) == b"y" * 3_000_000
        writer.write(LARGE)
        await reader.read()

    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n"
    async with secured(play, certificate) as port:
        connection = await dial(Origin("127.0.0.1", port, trusting(certificate.file)), PATIENT)
        reply = await connection.send(Request(head, b"y" * 3_000_000))
        assert await comes_true(lambda: reply.paused)
        assert len(await whole(reply)) == 3_000_000
        connection.abort()


async def test_tls_that_ends_with_the_body(certificate: Certificate) -> None:
    async with secured(saying(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", stays=False), certificate) as port:
        connection = await dial(Origin("127.0.0.1", port, trusting(certificate.file)), PATIENT)
        assert await asked(connection) == b"until the end"


async def test_a_certificate_that_nobody_vouches_for(certificate: Certificate) -> None:
    async with secured(saying(OK), certificate) as port:
        with pytest.raises(NotConnectedError, match="certificate is not valid: self-signed"):
            await dial(Origin("127.0.0.1", port, trusting(None)), PATIENT)


async def test_a_certificate_of_somebody_else(misnamed: Certificate) -> None:
    async with secured(saying(OK), misnamed) as port:
        with pytest.raises(NotConnectedError, match="certificate is not valid: IP address mismatch"):
            await dial(Origin("127.0.0.1", port, trusting(misnamed.file)), PATIENT)


async def test_no_tls_where_it_is_asked_for() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with far(play) as server:
        with pytest.raises(NotConnectedError, match=r"no connection$"):
            await dial(Origin("127.0.0.1", server.port, trusting(None)), PATIENT)


# Through a proxy.


@pytest.mark.parametrize("credentials", ["", "user:pass@"])
async def test_a_tunnel(certificate: Certificate, credentials: str) -> None:
    relay = Relay()
    async with secured(saying(OK), certificate) as port, far(relay) as proxy:
        way = Origin.of(f"https://localhost:{port}/v1", certificate.file, f"http://{credentials}127.0.0.1:{proxy.port}")
        connection = await dial(way, PATIENT)
        assert await whole(await connection.send(GET)) == b"ok"
        assert connection.reusable
        assert await asked(connection) == b"ok"
        assert await comes_true(lambda: not proxy.open)
    where = f"localhost:{port}".encode()
    known = b"proxy-authorization: Basic dXNlcjpwYXNz\r\n" if credentials else b""
    assert relay.heads == [b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (where, where, known)]


async def test_a_tunnel_to_an_address_of_the_newer_kind() -> None:
    relay = Relay(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    async with far(relay) as proxy:
        with pytest.raises(NotConnectedError):
            await dial(Origin("::1", 443, trusting(None), Proxy("127.0.0.1", proxy.port)), PATIENT)
    assert relay.heads[0].startswith(b"CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n")


@pytest.mark.parametrize(
    "answer, said",
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "refuses"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "refuses"),
        (b"x" * 20_000, "refuses"),
        (b"SSH-2.0\r\n\r\n", "refuses"),
        (b"HTTP/1.1 20", "hung up"),
        (b"", "hung up"),
    ],
)
async def test_a_proxy_that_refuses(answer: bytes, said: str) -> None:
    async with far(Relay(answer)) as proxy:
        with pytest.raises(NotConnectedError, match=said):
            await dial(Origin("127.0.0.1", 443, trusting(None), Proxy("127.0.0.1", proxy.port)), PATIENT)
        assert await comes_true(lambda: not proxy.open)


async def test_a_proxy_that_does_not_answer_in_time() -> None:
    async with far(silent) as proxy:
        with pytest.raises(NotConnectedError, match="in time"):
            await dial(Origin("127.0.0.1", 443, trusting(None), Proxy("127.0.0.1", proxy.port)), Timeouts(0.1, 5, 5))
        assert await comes_true(lambda: not proxy.open)


async def test_a_wrong_certificate_behind_a_proxy(misnamed: Certificate) -> None:
    async with secured(saying(OK), misnamed) as port, far(Relay()) as proxy:
        way = Origin("127.0.0.1", port, trusting(misnamed.file), Proxy("127.0.0.1", proxy.port))
        with pytest.raises(NotConnectedError, match="certificate"):
            await dial(way, PATIENT)
        assert await comes_true(lambda: not proxy.open)


async def test_without_tls_there_is_no_tunnel() -> None:
    """The proxy gets the request itself; that its target names the host is the matter of who writes it."""
    async with far(saying(OK)) as proxy:
        connection = await dial(Origin("no-such-host.invalid", 80, None, Proxy("127.0.0.1", proxy.port)), PATIENT)
        assert await asked(connection) == b"ok"
