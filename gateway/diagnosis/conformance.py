"""An upstream asked directly, twice, and through a gateway that is started for that: is it the same?"""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from gateway.destinations import UpstreamSettings
from gateway.diagnosis.bodies import TooLongError, body_of
from gateway.diagnosis.probes import Probe, probes
from gateway.diagnosis.shapes import Seen, differences, names_of, places_of
from gateway.errors import GatewayError
from gateway.upstreams.upstream import Upstream, UpstreamRequest

_KEY = "CONTEXT_GATEWAY_CHECKED_KEY"
_START_S = 30.0
_ANSWER_S = 120.0
_MODELS_S = 15.0
_END_S = 10.0
_DONE = b"[DONE]"


class UpstreamSilentError(Exception):
    """The upstream does not answer at all; the message says why."""


class GatewayNotStartedError(Exception):
    """The gateway that was to be checked did not come up; the message is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One probe: how the upstream answers it, and in what the gateway's answer differs."""

    probe: str
    status: int
    differs: tuple[str, ...]


async def model_of(upstream: UpstreamSettings) -> str | None:
    """Return the first model that the upstream lists; None where it lists none.

    Raises:
        UpstreamSilentError: nothing answers there.
    """
    try:
        async with asyncio.timeout(_MODELS_S), Upstream("upstream", upstream) as opened:
            body = await body_of(await opened.send(UpstreamRequest("GET", "/models", list(opened.own_headers), None)))
    except TimeoutError:
        raise UpstreamSilentError(f"no answer in {_MODELS_S:g} s") from None
    except GatewayError as error:
        raise UpstreamSilentError(str(error)) from None
    except TooLongError:
        return None
    try:
        return str(orjson.loads(body)["data"][0]["id"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None


async def compared(upstream: UpstreamSettings, model: str) -> AsyncIterator[Compared]:
    """Yield what comes of each probe.

    Raises:
        GatewayNotStartedError: nothing can be compared.
    """
    async with _gateway(upstream) as url, Upstream("upstream", upstream) as direct:
        through = UpstreamSettings(base_url=url, read_timeout_s=_ANSWER_S)
        async with Upstream("gateway", through) as relayed:
            for probe in probes(model):
                seen = [await _seen(direct, probe) for _ in range(2)]
                through_it = await _seen(relayed, probe)
                mute = seen[0].error and seen[1].error
                found = (f"directly: {mute}",) if mute else tuple(differences(seen, through_it))
                yield Compared(probe.name, seen[0].status, found)


async def _seen(upstream: Upstream, probe: Probe) -> Seen:
    length = [] if probe.body is None else [(b"content-length", b"%d" % len(probe.body))]
    headers = [*probe.headers, *upstream.own_headers, *length]
    try:
        async with asyncio.timeout(_ANSWER_S):
            reply = await upstream.send(UpstreamRequest(probe.method, probe.path, headers, probe.body))
            body = await body_of(reply)
    except GatewayError as error:
        return Seen(error=error.code or type(error).__name__)
    except TimeoutError:
        return Seen(error="no answer in time")
    except TooLongError:
        return Seen(error="no end")
    kind = reply.header(b"content-type").partition(";")[0].strip().lower()
    places, ended = _read(kind, body)
    return Seen(reply.status, kind, names_of(reply.headers), places, ended)


def _read(kind: str, body: bytes) -> tuple[frozenset[str], bool | None]:
    if kind != "text/event-stream":
        return _places(body), None
    data = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    events = [item for item in data if item != _DONE]
    return frozenset().union(*map(_places, events)), bool(data) and data[-1] == _DONE


def _places(body: bytes) -> frozenset[str]:
    try:
        return frozenset(places_of(msgspec.json.decode(body)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return frozenset((f"no JSON, {'empty' if not body else 'text'}",))


@asynccontextmanager
async def _gateway(upstream: UpstreamSettings) -> AsyncIterator[str]:
    """Run a gateway before the upstream, with windowing as it is by default."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="context-gateway-check-") as folder:
        config, said = Path(folder) / "gateway.yaml", Path(folder) / "said"
        config.write_text(_configuration(upstream))
        key = upstream.api_key.get_secret_value() if upstream.api_key else ""
        command = ("-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port), "--drain-seconds", "0")
        with said.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, env={**os.environ, _KEY: key}, stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
            )  # fmt: skip
        try:
            if not await _started(process, port):
                raise GatewayNotStartedError(said.read_text(errors="replace")[-500:].strip() or "it did not start")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            await _ended(process)


def _configuration(upstream: UpstreamSettings) -> str:
    fields = {"base_url": upstream.base_url}
    if upstream.api_key is not None:
        fields["api_key"] = f"${{{_KEY}}}"
    return orjson.dumps({"upstreams": {"checked": fields}, "store": {"ledger": "off"}}).decode()  # JSON is YAML


async def _started(process: asyncio.subprocess.Process, port: int) -> bool:
    """Return whether it listens, as soon as it does; False when it ended, or took too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return True
    return False


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
