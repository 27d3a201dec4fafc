import asyncio
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
import uvloop
from uvicorn.config import STARTUP_FAILURE

from benchmarks.processes import Server, free_port, running, status_of
from gateway import server
from gateway.config import METRICS_DIR_VARIABLE
from tests.integration.client import Reply, chat_body, eventually, post_chat
from tests.upstreams import Upstream

RUN = "import pathlib; from gateway.server import run; run(pathlib.Path({!r}), '127.0.0.1', {}, {})"
OFF = "mode: off"
NO_MODEL = "embedding_model: /nonexistent"


@contextmanager
def serving(folder: Path, upstream: Upstream, windowing: str = OFF, workers: int = 1) -> Iterator[Server]:
    """The server as a process, whose temporary files lie in the folder."""
    file = folder / "gateway.yaml"
    file.write_text(f"upstreams: {{main: {{base_url: '{upstream.url}'}}}}\nwindowing: {{{windowing}}}\n")
    port = free_port()
    with running(["-c", RUN.format(str(file), port, workers)], port, "/healthz", {"TMPDIR": str(folder)}) as found:
        yield found


def workers_in(folder: Path) -> set[int]:
    """The ids of the processes that count in a directory of metrics."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("context-gateway-metrics-*/*.db")}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_listens_before_it_is_ready(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream, NO_MODEL) as found:
        assert status_of(f"{found.url}/readyz") == 503
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        assert workers_in(tmp_path) == set()  # one process counts in its own memory


def test_it_may_open_as_many_files_as_the_system_allows(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream) as found:
        soft, hard = resource.prlimit(found.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_told_to_stop_it_finishes_what_has_begun(upstream: Upstream, tmp_path: Path) -> None:
    replies: list[Reply] = []
    with serving(tmp_path, upstream) as found:
        asking = threading.Thread(target=lambda: replies.append(post_chat(f"{found.url}/v1", chat_body(), "slow")))
        asking.start()
        assert eventually(lambda: upstream.begun)
        found.process.send_signal(signal.SIGTERM)
        asking.join(10)
        found.process.wait(10)
    assert [reply.status for reply in replies] == [200]
    assert replies[0].json()["choices"]


def test_several_workers_serve_count_in_one_place_and_leave_nothing(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream, workers=2) as found:
        assert eventually(lambda: len(workers_in(tmp_path)) == 2, 20)
        workers = workers_in(tmp_path)
        assert found.process.pid not in workers
        assert all(map(alive, workers))
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(20) == 0
    assert not any(map(alive, workers))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["gateway.db", "gateway.yaml"]


def test_a_worker_that_was_killed_is_replaced_by_its_like(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream, workers=2) as found:
        assert eventually(lambda: len(workers_in(tmp_path)) == 2, 20)
        first, killed = sorted(workers_in(tmp_path))
        os.kill(killed, signal.SIGKILL)
        assert eventually(lambda: len(workers_in(tmp_path) - {first, killed}) == 1, 20)
        (new,) = workers_in(tmp_path) - {first, killed}
        assert eventually(lambda: listeners(new) == listeners(first), 20)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        said = [line for line in map(json.loads, found.log.read_text().splitlines()) if "worker" in line["event"]]
    replaced = {"event": "worker_replaced", "pid": killed, "exit": -signal.SIGKILL, "by": new}
    assert [{name: line[name] for name in replaced} for line in said] == [replaced]


def listeners(pid: int) -> list[str]:
    """The process' files that are listening sockets, as often as it has them open."""
    listening = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"}
    files = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed just now
            files.append(str(file.readlink()))
    return sorted(file for file in files if file.startswith("socket:[") and file[8:-1] in listening)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_address_that_cannot_be_had_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for host, number in (("127.0.0.1", errno.EADDRINUSE), ("192.0.2.1", errno.EADDRNOTAVAIL)):
            with pytest.raises(OSError) as raised:
                server.run(None, host, taken.getsockname()[1], workers)
            assert raised.value.errno == number
    assert list(tmp_path.iterdir()) == []
    assert METRICS_DIR_VARIABLE not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_fails_says_why_and_ends(tmp_path: Path, workers: int) -> None:
    file, port = tmp_path / "gateway.yaml", free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        admin = f"admin: {{token: 0123456789abcdef-admin, listen: '{address}'}}"
        file.write_text(f"upstreams: {{main: {{base_url: 'http://127.0.0.1:1/v1'}}}}\n{admin}\n")
        command = [sys.executable, "-c", RUN.format(str(file), port, workers)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == STARTUP_FAILURE
    assert ("worker_not_started" in ended.stdout) is (workers > 1)
    assert f"admin.listen: {address}: Address already in use" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


BEGUN = (
    "from gateway import server; go_on = server._open_many; "
    "server._open_many = lambda: (print('begun', flush=True), go_on()); "
)


@contextmanager
def starting(folder: Path, upstream: Upstream, workers: int) -> Iterator[Server]:
    """The server as a process that has just begun to start."""
    file, port = folder / "gateway.yaml", free_port()
    file.write_text(f"upstreams: {{main: {{base_url: '{upstream.url}'}}}}\nwindowing: {{{OFF}}}\n")
    with running(["-c", BEGUN + RUN.format(str(file), port, workers)], port, None) as found:
        assert eventually(lambda: "begun" in found.log.read_text(), 60)
        yield found


def test_a_sighup_while_it_starts_is_heeded_once_it_has(upstream: Upstream, tmp_path: Path) -> None:
    with starting(tmp_path, upstream, 1) as found:
        found.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: '"reloaded"' in found.log.read_text() or found.process.poll() is not None, 60)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200


def test_sighups_while_workers_start_end_none(upstream: Upstream, tmp_path: Path) -> None:
    def hang_up_until_it_serves() -> bool:
        found.process.send_signal(signal.SIGHUP)
        return status_of(f"{found.url}/healthz") == 200 or found.process.poll() is not None

    with starting(tmp_path, upstream, 2) as found:
        assert eventually(hang_up_until_it_serves, 60)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        assert "worker_replaced" not in found.log.read_text()


async def turns_until_all_are_in(listener: socket.socket, count: int) -> int:
    """Return the turns of the event loop that it takes to accept so many who are connected before it starts."""

    async def app(scope: object, receive: object, send: object) -> None:
        pytest.fail(f"nobody asks for anything: {scope}, {receive}, {send}")

    made = server._Server(
        uvicorn.Config(app, http="gateway.http1.inbound:Inbound", ws="none", lifespan="off", log_config=None)
    )
    serving_ = asyncio.create_task(made.serve([listener.dup()]))
    turns = 0
    async with asyncio.timeout(20):
        while len(made.server_state.connections) < count:
            turns += made.started
            await asyncio.sleep(0)
        made.should_exit = True
        await serving_
    return turns


def test_many_who_connect_at_once_are_taken_in_within_few_turns() -> None:
    count = 10 * server._AT_ONCE
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2 * count))
        for _ in range(count):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        assert uvloop.run(turns_until_all_are_in(listener, count)) < count / 2
