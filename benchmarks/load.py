"""Load on one URL: wrk where it is installed, a generator of our own where not."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-benchmark"}
NO_MORE: Mapping[str, str] = {}
SCRIPT = """
wrk.method = "POST"
%s
local file = io.open("%s", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('JSON{"rps":%%f,"p50":%%f,"p99":%%f,"errors":%%d,"requests":%%d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout, summary.requests))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: requests a second, latencies in milliseconds, failed requests, all requests."""

    rps: float
    p50: float
    p99: float
    errors: int
    requests: int = 0


def generator() -> str:
    """Return the name of the generator that `measure` uses on this machine."""
    return "wrk" if shutil.which("wrk") else "built-in generator"


def measure(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str] = NO_MORE) -> Load:
    """POST the body over that many kept-alive connections for that long, after a short warm-up."""
    run(url, body, connections, 0.5, headers)
    return run(url, body, connections, seconds, headers)


def run(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str] = NO_MORE) -> Load:
    """Do what `measure` does without a warm-up; `headers` are sent beside the usual two."""
    generate = _with_wrk if shutil.which("wrk") else _with_asyncio
    return generate(url, body, connections, seconds, {**HEADERS, **headers})


def _with_wrk(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str]) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder) / "body.json"
        content.write_bytes(body)
        script = Path(folder) / "post.lua"
        lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
        script.write_text(SCRIPT % (lines, content))
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "20s",
            "-s",
            str(script),
            url,
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(output.partition("JSON")[2]))


def _with_asyncio(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str]) -> Load:
    return uvloop.run(_drive(url, body, connections, seconds, headers))


def request_of(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the request as it goes over the wire."""
    parts = urlsplit(url)
    named = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _drive(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str]) -> Load:
    parts = urlsplit(url)
    request = request_of(url, body, headers)
    end = time.perf_counter() + seconds
    clients = [_client(parts.hostname or "", parts.port or 80, request, end) for _ in range(connections)]
    results = await asyncio.gather(*clients)
    times = sorted(t for taken, _ in results for t in taken)
    if not times:
        return Load(0.0, 0.0, 0.0, sum(errors for _, errors in results))
    errors = sum(errors for _, errors in results)
    return Load(len(times) / seconds, quantile(times, 0.5), quantile(times, 0.99), errors, len(times))


async def _client(host: str, port: int, request: bytes, end: float) -> tuple[list[float], int]:
    taken: list[float] = []
    errors = 0
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < end:
        start = time.perf_counter()
        writer.write(request)
        try:
            ok = await _reply(reader)
        except (asyncio.IncompleteReadError, OSError):
            errors += 1
            reader, writer = await asyncio.open_connection(host, port)
            continue
        errors += not ok
        taken.append((time.perf_counter() - start) * 1000)
    writer.close()
    return taken, errors


async def _reply(reader: asyncio.StreamReader) -> bool:
    """Read one reply whole; return whether its status was 2xx."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
    return head[9:10] == b"2"


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which that share of the ascending values lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
