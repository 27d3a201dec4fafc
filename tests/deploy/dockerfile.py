"""Reads a Dockerfile, and runs its instructions in order in a folder instead of in an image."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
USER_ID = 10001
# The top folders that the Dockerfile names; each stands in the stage's folder instead. Not within a URL or a pattern.
_PLACES = re.compile(r"(?<![\w.*/-])/(?=(?:opt|src|data|tmp|etc/context-gateway)\b)")
_LINE_END = re.compile(r"\\\n")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word in capitals, and what follows."""

    word: str
    rest: str

    def arguments(self) -> list[str] | None:
        """Return the JSON form's arguments; None where it is a line for the shell."""
        return json.loads(self.rest) if self.rest.startswith("[") else None


def instructions(text: str) -> Iterator[Instruction]:
    """Read a Dockerfile's text."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in _LINE_END.sub(" ", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield Instruction(word.upper(), rest.strip())


def build_context(folder: Path) -> Path:
    """Copy what .dockerignore lets through; it names all that is wanted after `*`."""
    first, *others = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    wanted = [line.removeprefix("!") for line in others if line.startswith("!")]
    ignored = [line.removeprefix("**/") for line in others if not line.startswith("!")]
    assert first == "*"
    for name in wanted:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns(*ignored))
        else:
            shutil.copyfile(ROOT / name, target)
    return folder


@dataclass(slots=True)
class Build:
    """The stage that is being built stands in `folder`/root; one that is done is moved aside."""

    folder: Path
    arguments: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    stage: str = ""
    workdir: Path = Path()
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    user: str = ""
    ran: int = 0

    @property
    def root(self) -> Path:
        """Where the stage's file system begins."""
        return self.folder / "root"

    def follow(self, instruction: Instruction) -> None:
        """Do what an instruction says."""
        getattr(self, f"_{instruction.word.lower()}")(instruction)

    def placed(self, text: str) -> str:
        """Return a text with the paths of the image's file system in the stage's folder, and a user that exists."""
        user = str(USER_ID if os.getuid() == 0 else os.getuid())
        return _PLACES.sub(f"{self.root}/", text).replace(str(USER_ID), user)

    def environment(self) -> dict[str, str]:
        """Return what a process of the image sees; and how this machine reaches a package index."""
        index = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_"))}
        return {"PATH": _base_path(), "HOME": str(self.root / "tmp"), **index, **self.variables}

    def _from(self, instruction: Instruction) -> None:
        if self.stage:
            self.root.rename(self.folder / self.stage)
        _, _, name = instruction.rest.partition(" AS ")
        self.stage, self.workdir, self.variables, self.user = name or "last", self.root, {}, ""
        (self.root / "tmp").mkdir(parents=True, mode=0o1777)
        (self.root / "tmp").chmod(0o1777)

    def _arg(self, instruction: Instruction) -> None:
        name, _, default = instruction.rest.partition("=")
        self.variables[name] = self.arguments.get(name, default)

    def _env(self, instruction: Instruction) -> None:
        before = {"PATH": _base_path(), **self.variables}
        for pair in shlex.split(instruction.rest):
            name, _, value = pair.partition("=")
            self.variables[name] = re.sub(r"\$(\w+)", lambda found: before[found[1]], self.placed(value))

    def _workdir(self, instruction: Instruction) -> None:
        self.workdir = Path(self.placed(instruction.rest))
        self.workdir.mkdir(parents=True, exist_ok=True)

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.rest.split()
        origin = self.folder / "context"
        if sources[0].startswith("--from="):
            origin = self.folder / sources.pop(0).removeprefix("--from=")
        to = self.workdir / self.placed(target)
        for source in sources:
            _copy(origin / source.lstrip("/"), to / Path(source).name if target.endswith("/") else to)
        if to.suffix == ".yaml":  # a configuration names places too
            to.write_text(self.placed(to.read_text()))

    def _run(self, instruction: Instruction) -> None:
        listed = instruction.arguments()
        command = listed or ["/bin/sh", "-c", self.placed(instruction.rest)]
        done = subprocess.run(
            command,
            cwd=self.workdir,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.ran += 1
        assert done.returncode == 0, f"{instruction.rest}: {done.stdout.decode(errors='replace')[-3000:]}"

    def _user(self, instruction: Instruction) -> None:
        self.user = instruction.rest

    def _volume(self, instruction: Instruction) -> None:
        assert Path(self.placed(instruction.rest)).is_dir()

    def _expose(self, instruction: Instruction) -> None:
        assert instruction.rest == "8080"

    def _healthcheck(self, instruction: Instruction) -> None:
        self.health = json.loads(instruction.rest.partition("CMD ")[2])

    def _cmd(self, instruction: Instruction) -> None:
        self.command = [self.placed(word) for word in instruction.arguments() or ()]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)


def _base_path() -> str:
    """Return a PATH on which python3 is the one that this environment was made with."""
    base: str = sys._base_executable  # type: ignore[attr-defined]
    return f"{Path(base).parent}:/usr/bin:/bin"


def read_only(root: Path) -> list[str]:
    """Return what starts a command with all file systems read-only but for the image's /data and /tmp.

    Takes a mount namespace; nothing where this machine grants none.
    """
    granted = _is_granted("/usr/bin/unshare", "--mount", "true")
    script = 'mount --bind "$1" "$1" && mount -t tmpfs tmpfs "$2" && mount -o remount,bind,ro / && shift 2 && exec "$@"'
    command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh", str(root / "data"), str(root / "tmp")]
    return command if granted else []


def _is_granted(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def written(root: Path) -> dict[str, int]:
    """Return the files outside the places that may be written, and when each was written last."""
    places = (root / "data", root / "tmp")
    files = (path for path in root.rglob("*") if not any(path.is_relative_to(place) for place in places))
    return {str(path): path.lstat().st_mtime_ns for path in files}
