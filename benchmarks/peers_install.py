"""Peers in throw-away virtual environments outside the repository, and methods run in processes of their own."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT

_DRIVER = Path(__file__).with_name("peers_driver.py")
_INSTALL_S = 900
_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HEADROOM_OFFLINE": "1",
    "HEADROOM_TELEMETRY": "off",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


class PeerUnavailableError(Exception):
    """The peer cannot be installed or started; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Process:
    """How a process that answers as peers_driver.py does is started."""

    command: tuple[str, ...]
    folder: Path
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answered:
    """The driver's answers, in the order of the requests, and what ended it before the last one ('' if nothing)."""

    version: str
    answers: tuple[dict[str, Any], ...]
    stopped: str = ""


def cache_folder() -> Path:
    """Return where the environments are kept: they may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "context-gateway-bench"


def environment(requirement: str) -> Path:
    """Return the folder of an environment that holds the requirement (`name[extra]==version`), made when missing.

    Raises PeerUnavailableError when pip cannot install it.
    """
    folder = _folder_of(f"{requirement}-python-{platform.python_version()}")  # peers get what the gateway has
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return made(folder, [sys.executable, "-m", "venv", str(folder)], [*pip, requirement])


def node_package(requirement: str) -> Path:
    """Return the folder below which npm has installed the package (`name@version`), made when missing.

    Raises PeerUnavailableError when npm is not there or cannot install it.
    """
    folder = _folder_of(requirement)
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    return made(folder, [*npm, requirement])


def _folder_of(requirement: str) -> Path:
    return cache_folder() / "".join(c if c.isalnum() or c in ".-" else "-" for c in requirement)


def made(folder: Path, *commands: Sequence[str]) -> Path:
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing into {folder}", file=sys.stderr)
    try:
        for command in commands:
            _install(command)
    except PeerUnavailableError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / "complete").touch()
    return folder


def _install(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailableError(f"not installed: {type(error).__name__}") from error
    if done.returncode:
        raise PeerUnavailableError(f"not installed: {_last_line(done.stderr or done.stdout)}")


def peer(name: str, requirement: str) -> Process:
    """Return the process that answers as a peer of peers_driver.py: no network, none of the user's keys.

    Raises PeerUnavailableError when the peer cannot be installed.
    """
    folder = environment(requirement)
    home = home_in(folder)
    command = (str(folder / "bin" / "python"), "-I", str(_DRIVER), name)
    return Process(command, home, sealed(home))


def home_in(folder: Path) -> Path:
    """Return the folder that a peer installed there takes for its user's home."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return home


def sealed(home: Path) -> Mapping[str, str]:
    """Return the environment variables of a peer: no network, none of the user's keys."""
    places = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "TMPDIR": str(home)}
    return {"LANG": "C.UTF-8", **places, **_OFFLINE}


def ours() -> Process:
    """Return the process that answers with the gateway's windowing, its threads as the gateway sets them."""
    defaults = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    return Process((sys.executable, "-m", "benchmarks.peers_ours"), ROOT, {**defaults, **os.environ})


def drive(process: Process, requests: Sequence[dict[str, Any]], timeout_s: float) -> Answered:
    """Put the requests through a process.

    Raises PeerUnavailableError when it ends before it has answered anything.
    """
    lines = "".join(json.dumps(r) + "\n" for r in requests).encode()
    try:
        done = subprocess.run(
            process.command,
            input=lines,
            capture_output=True,
            check=False,
            timeout=timeout_s,
            cwd=process.folder,
            env=process.settings,
        )
    except subprocess.TimeoutExpired as late:
        return _answered(late.stdout or b"", f"stopped after {timeout_s:.0f} s", len(requests))
    except OSError as error:
        raise PeerUnavailableError(f"not started: {type(error).__name__}") from error
    end = _last_line(done.stderr.decode(errors="replace"))
    return _answered(done.stdout, f"ended with status {done.returncode}: {end}", len(requests))


def _answered(output: bytes, end: str, wanted: int) -> Answered:
    # What stands behind the last line end was being written when the process ended.
    lines = [json.loads(line) for line in output.split(b"\n")[:-1]]
    if not lines:
        raise PeerUnavailableError(end)
    head, *answers = lines
    return Answered(str(head["version"]), tuple(answers), end if len(answers) < wanted else "")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1][:200]
