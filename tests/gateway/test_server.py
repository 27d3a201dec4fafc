import asyncio
import json
import os
import resource
import shutil
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
from tests.gateway.http1.far import signs_of_life
from tests.integration.client import Reply, chat_body, eventually, post_chat, send
from tests.upstreams import Upstream

RUN = "import pathlib; from gateway.server import run; run(pathlib.Path({!r}), '127.0.0.1', {}, {})"
OFF = "mode: off"
NO_MODEL = "embedding_model: /nonexistent"


@contextmanager
def serving(
    folder: Path, upstream: Upstream, windowing: str = OFF, workers: int = 1, more: str = ""
) -> Iterator[Server]:
    """The server as a process, whose temporary files lie in the folder."""
    file = folder / "gateway.yaml"
    file.write_text(f"upstreams: {{main: {{base_url: '{upstream.url}'}}}}\nwindowing: {{{windowing}}}\n{more}")
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


def test_a_client_that_waits_in_silence_is_not_forgotten_on_the_way(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream) as found:
        port = int(found.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            assert eventually(lambda: signs_of_life(local=port) == [True])


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
        said = told(found, "worker")
    replaced = {"event": "worker_replaced", "pid": killed, "exit": -signal.SIGKILL, "by": new}
    assert [{name: line[name] for name in replaced} for line in said] == [replaced]


def told(found: Server, about: str) -> list[dict[str, object]]:
    """The lines about the server's own events with such a name."""
    lines = [json.loads(line) for line in found.log.read_text().splitlines()]
    return [line for line in lines if about in line["event"]]


def kill_one(folder: Path) -> None:
    """Kill a worker that lives."""
    os.kill(next(filter(alive, workers_in(folder))), signal.SIGKILL)


def two_started(folder: Path, found: Server) -> bool:
    """Wait until two workers serve."""
    return eventually(lambda: len(living(folder)) == 2 and len(told(found, "windowing")) >= 2, 20)


def living(folder: Path) -> set[int]:
    return set(filter(alive, workers_in(folder)))


def count_of(found: Server) -> float:
    """How many requests the server says that it has counted."""
    lines = send(found.url, "GET", "/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("gen_ai_server_request_duration_seconds_c"))


def test_metrics_outlive_the_removal_of_their_folder(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream, workers=2) as found:
        assert two_started(tmp_path, found)
        workers = living(tmp_path)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        (folder,) = tmp_path.glob("context-gateway-metrics-*")
        shutil.rmtree(folder)
        assert send(found.url, "GET", "/metrics").status == 200
        assert eventually(folder.is_dir)
        assert eventually(lambda: count_of(found) == 1, 10)  # whoever counted it is asked, sooner or later
        os.kill(min(workers), signal.SIGKILL)
        assert eventually(lambda: len(told(found, "worker_replaced")) == 1, 10)
        assert eventually(lambda: len(living(tmp_path) - workers) == 1, 20)
        assert not told(found, "worker_ended")
        assert "Traceback" not in found.log.read_text()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        yield folder
    finally:
        subprocess.run([unmount, str(folder)], check=False)


def test_a_full_disk_costs_metrics_and_no_request(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        more = f"store: {{path: {tmp_path}/gateway.db}}"
        with serving(disk, upstream, workers=2, more=more) as found:
            assert two_started(disk, found)
            with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
                while True:
                    ballast.write(bytes(512))
            models = [f"gpt-{name}" for name in ("4o", "4o-mini", "4", "4-turbo", "5", "5-mini", "5-nano", "4.1")] * 4
            assert [post_chat(f"{found.url}/v1", chat_body(model=model)).status for model in models] == [200] * 32
            assert send(found.url, "GET", "/metrics").status == 200
            assert {line["status"] for line in told(found, "metrics")} == {"away"}
            (disk / "ballast").unlink()
            assert eventually(lambda: count_of(found) == 32, 20)
            assert not told(found, "worker")


def test_a_worker_is_replaced_although_the_file_cannot_be_used_any_more(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream, workers=2) as found:
        assert two_started(tmp_path, found)
        (tmp_path / "gateway.yaml").write_text("upstreams: [")
        found.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: len(told(found, "reload_failed")) == 2)
        for worker in living(tmp_path):
            os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: len(told(found, "worker_replaced")) == 2 and len(living(tmp_path)) == 2, 20)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        assert "Traceback" not in found.log.read_text()


def test_a_worker_starts_with_what_was_reloaded(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream, workers=2, more="ask_usage: auto") as found:
        assert two_started(tmp_path, found)
        file = tmp_path / "gateway.yaml"
        file.write_text(file.read_text() + "\nteams: {acme: {keys: [{key: a-key-of-acme}]}}")
        found.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: len(told(found, "reloaded")) == 2)
        for worker in living(tmp_path):
            os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: len(told(found, "worker_replaced")) == 2 and len(living(tmp_path)) == 2, 20)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 401


def test_workers_that_cannot_start_are_tried_again_until_none_serves(upstream: Upstream, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with serving(tmp_path, upstream, workers=2, more=f"store: {{path: {place}/gateway.db}}") as found:
        assert two_started(tmp_path, found)
        place.rename(tmp_path / "elsewhere")
        place.write_text("no folder")
        kill_one(tmp_path)
        assert eventually(lambda: told(found, "worker_ended"), 20)
        assert [line["exit"] for line in told(found, "worker_replaced")] == [-signal.SIGKILL]
        assert told(found, "worker_ended")[0]["exit"] == STARTUP_FAILURE
        assert told(found, "worker_ended")[0]["again_in_s"] == 1
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200  # by the other one
        assert found.process.poll() is None
        for worker in living(tmp_path):
            os.kill(worker, signal.SIGKILL)
        assert found.process.wait(20) == STARTUP_FAILURE
        assert told(found, "worker_not_started")
        assert "Traceback" not in found.log.read_text()


def test_workers_end_when_their_supervisor_is_gone_and_what_it_left_is_swept(
    upstream: Upstream, tmp_path: Path
) -> None:
    with serving(tmp_path, upstream, workers=2) as found:
        assert two_started(tmp_path, found)
        workers = living(tmp_path)
        (left,) = tmp_path.glob("context-gateway-metrics-*")
        found.process.kill()
        assert eventually(lambda: not any(map(alive, workers)), 20)
        assert len(told(found, "supervisor_gone")) == 2
    assert left.is_dir()
    with serving(tmp_path, upstream, workers=2):
        assert not left.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_two_gateways_do_not_share_the_address_of_the_admin_api(
    upstream: Upstream, tmp_path: Path, workers: int
) -> None:
    address = f"127.0.0.1:{free_port()}"
    admin = f"admin: {{token: 0123456789abcdef-admin, listen: '{address}'}}"
    with serving(tmp_path, upstream, workers=workers, more=admin) as found:
        assert eventually(lambda: status_of(f"http://{address}/admin/v1/teams") == 401)
        command = ["-m", "gateway.cli", "serve", "--config", str(tmp_path / "gateway.yaml"), "--port", str(free_port())]
        ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=False)
        assert found.process.poll() is None
    assert (ended.returncode, ended.stderr) == (2, f"can't listen on admin.listen: {address}: Address already in use\n")


def test_connections_that_there_are_no_files_for_are_said_once(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, upstream) as found, ExitStack() as stack:
        most = len(list(Path(f"/proc/{found.process.pid}/fd").iterdir())) + 5
        resource.prlimit(found.process.pid, resource.RLIMIT_NOFILE, (most, most))
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.1", int(found.url.rpartition(":")[2]))))
        assert eventually(lambda: told(found, "connections_refused"))
        (line,) = told(found, "connections_refused")
    assert line["detail"] == "Too many open files"


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
        for host, why in (("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign requested address")):
            with pytest.raises(server.CannotStartError) as raised:
                server.run(None, host, taken.getsockname()[1], workers)
            assert str(raised.value) == f"can't listen on {host}:{taken.getsockname()[1]}: {why}"
    assert list(tmp_path.iterdir()) == []
    assert METRICS_DIR_VARIABLE not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_fails_says_why_and_ends(tmp_path: Path, workers: int) -> None:
    file, port = tmp_path / "gateway.yaml", free_port()
    store = f"store: {{path: {file}/gateway.db}}"
    file.write_text(f"upstreams: {{main: {{base_url: 'http://127.0.0.1:1/v1'}}}}\n{store}\n")
    command = [sys.executable, "-c", RUN.format(str(file), port, workers)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == STARTUP_FAILURE
    assert ("worker_not_started" in ended.stdout) is (workers > 1)
    assert "gateway.db" in ended.stdout
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
        assert eventually(lambda: status_of(f"{found.url}/healthz") == 200, 20)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200


def test_sighups_while_workers_start_end_none(upstream: Upstream, tmp_path: Path) -> None:
    def hang_up_until_it_serves() -> bool:
        found.process.send_signal(signal.SIGHUP)
        return status_of(f"{found.url}/healthz") == 200 or found.process.poll() is not None

    with starting(tmp_path, upstream, 2) as found:
        assert eventually(hang_up_until_it_serves, 60)
        assert post_chat(f"{found.url}/v1", chat_body()).status == 200
        assert "worker_replaced" not in found.log.read_text()


def test_a_process_that_cannot_use_its_configuration_says_why_in_one_line() -> None:
    text = "upstreams: {main: {base_url: 'https://127.0.0.1/v1', ca_file: /none}}"  # which was there at the start
    begin = f"import pathlib, gateway.server as s; s._Configuration(pathlib.Path('gw.yaml'), {text!r}).application()"
    ended = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True, timeout=60, check=False)
    line = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, line["event"]) == (STARTUP_FAILURE, "", "start_failed")
    assert "upstreams.main.ca_file: no file /none" in line["detail"]


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
