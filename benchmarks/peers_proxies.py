"""Other gateways as servers before an upstream, each in an environment of its own, with the least it needs to answer.

What a peer keeps from a plain relay of every request is turned off (caches, rate limits, telemetry), and none of it
reaches a network: what is compared is the way of a request through it.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.peers_install import PeerUnavailableError, environment, home_in, node_package, sealed
from benchmarks.processes import Server, ServerDiedError, free_port, stop, tail, wait_until
from benchmarks.targets import Target

LITELLM = "litellm[proxy]==1.106.2"  # the newest whose proxy can be installed: later ones want extras not published
PORTKEY = "@portkey-ai/gateway@1.15.2"
HEADROOM = "headroom-ai[proxy]==0.42.0"
_START_S = 120
_LITELLM_CONFIG = """model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "{upstream}/v1", api_key: sk-benchmark}}
"""


@contextlib.contextmanager
def litellm(upstream: str) -> Iterator[Target]:
    """Run LiteLLM's proxy with one worker, without a database and without a key."""
    folder = environment(LITELLM)
    home = home_in(folder)
    port = free_port()
    config = home / f"config-{port}.yaml"
    config.write_text(_LITELLM_CONFIG.format(upstream=upstream))
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    command = [str(folder / "bin" / "python"), "-I", str(folder / "bin" / "litellm"), *options, "--telemetry", "False"]
    settings = {"LITELLM_LOG": "ERROR", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    try:
        with _serving(command, port, "/health/liveliness", home, settings) as server:
            yield Target(server.url, server.process.pid)
    finally:
        config.unlink()


@contextlib.contextmanager
def portkey(upstream: str) -> Iterator[Target]:
    """Run Portkey's gateway under node; it is told the upstream by each request's headers."""
    folder = node_package(PORTKEY)
    port = free_port()
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command = ["node", str(script), f"--port={port}", "--headless"]
    with _serving(command, port, "/", home_in(folder), {"NODE_ENV": "production"}) as server:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
        yield Target(server.url, server.process.pid, headers)


@contextlib.contextmanager
def headroom(upstream: str) -> Iterator[Target]:
    """Run Headroom's proxy as it is shipped, with the vocabularies that LiteLLM brings along, lest it fetch them."""
    folder = environment(HEADROOM)
    port = free_port()
    options = ["--port", str(port), "--openai-api-url", f"{upstream}/v1", "--no-rate-limit", "--no-cache"]
    command = [str(folder / "bin" / "python"), "-I", str(folder / "bin" / "headroom"), "proxy", *options]
    settings = {"TIKTOKEN_CACHE_DIR": str(_vocabularies())}
    with _serving([*command, "--no-telemetry"], port, "/health", home_in(folder), settings) as server:
        yield Target(server.url, server.process.pid)


def _vocabularies() -> Path:
    found = next(environment(LITELLM).glob("lib/python*/site-packages/litellm/litellm_core_utils/tokenizers"), None)
    if found is None:
        raise PeerUnavailableError("needs a vocabulary that it would have to download")
    return found


PEERS: Mapping[str, Callable[[str], AbstractContextManager[Target]]] = {
    "litellm": litellm,
    "portkey": portkey,
    "headroom": headroom,
}


@contextlib.contextmanager
def _serving(
    command: Sequence[str], port: int, ready: str, home: Path, settings: Mapping[str, str]
) -> Iterator[Server]:
    """Run a command that listens on the port until it answers.

    Raises PeerUnavailableError when it does not.
    """
    with tempfile.TemporaryDirectory(prefix="context-gateway-peer-") as folder:
        log = Path(folder) / "output.log"
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    command, cwd=home, env={**sealed(home), **settings}, stdout=output, stderr=subprocess.STDOUT
                )
            except OSError as error:
                raise PeerUnavailableError(f"not started: {type(error).__name__}") from error
        server = Server(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait(server, ready)
            yield server
        finally:
            stop(process)


def _wait(server: Server, ready: str) -> None:
    try:
        wait_until(server, ready, _START_S)
    except ServerDiedError as error:
        said = tail(server.log).strip().splitlines() or ["no output"]
        raise PeerUnavailableError(f"not started: {said[-1][:200]}") from error
