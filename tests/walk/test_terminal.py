import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.client import eventually
from tests.walk.terminal import Terminal, TerminalError


def test_commands_run_in_one_shell_and_end_with_their_status(tmp_path: Path) -> None:
    with Terminal(tmp_path, os.environ) as terminal:
        assert terminal.run("mkdir a && cd a; X=5").status == 0
        ran = terminal.run("echo $X in ${PWD##*/}; cat; false")
        assert (ran.output, ran.status) == (
            "5 in a\n",
            1,
        )  # `cat` has nothing to read: the next command is not its input
        assert terminal.run("echo there").output == "there\n"


def test_what_does_not_end_is_an_error_and_gone_with_the_terminal(tmp_path: Path) -> None:
    with Terminal(tmp_path, os.environ) as terminal:
        behind = int(terminal.run("sleep 60 & echo $!").output)
        with pytest.raises(TerminalError, match="no end in"):
            terminal.run("echo before; sleep 60", patience_s=0.3)
        assert "before" in terminal.shown()
    assert eventually(lambda: gone(behind))


def gone(process: int) -> bool:
    """Whether it has ended; whoever has adopted it may not have taken note yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)  # noqa: S607
    return state.stdout.strip() == "" or state.stdout.startswith("Z")
