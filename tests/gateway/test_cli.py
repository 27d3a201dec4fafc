import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.processes import free_port
from gateway.cli import main

RUNNER = CliRunner()


def request(text: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}]})


def test_a_good_file_is_said_to_be_good(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text("upstreams: {main: {base_url: 'http://127.0.0.1:1/v1'}}\n")
    done = RUNNER.invoke(main, ["config", "check", str(file)])
    assert done.exit_code == 0
    assert "good" in done.output


def test_a_wrong_file_stops_check_serve_and_trim_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text("upstreams: {main: {base_url: 'http://127.0.0.1:1/v1'}}\nwindowing: {mode: maybe}\n")
    for command in (["config", "check", str(file)], ["serve", "--config", str(file)], ["trim", "--config", str(file)]):
        done = RUNNER.invoke(main, command)
        assert done.exit_code == 2
        assert f"{file}:2: windowing.mode: expected 'on', 'shadow' or 'off'" in done.output


def test_the_schema_is_json_and_knows_every_section() -> None:
    schema = json.loads(RUNNER.invoke(main, ["config", "schema"]).output)
    assert {"upstreams", "models", "windowing", "teams", "admin", "redis"} <= set(schema["properties"])


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = RUNNER.invoke(main, ["serve", "--port", str(port)])
    assert done.exit_code == 2
    assert f"can't listen on 127.0.0.1:{port}" in done.output


def test_a_missing_place_for_temporary_files_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    done = RUNNER.invoke(main, ["serve", "--port", str(free_port()), "--workers", "2"])
    assert done.exit_code == 2
    assert done.stderr == "can't make a temporary folder for the workers' metrics: No such file or directory\n"


def test_a_model_that_cannot_be_loaded_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text("windowing: {embedding_model: /nowhere/at/all}\n")
    words = " ".join(f"line {n} of a long text" for n in range(3000))
    done = RUNNER.invoke(main, ["trim", "--config", str(file)], input=request(f"{words}\n\nWhat is in line 17?"))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert re.fullmatch(r"the embedding model '/nowhere/at/all' cannot be loaded: .+\n", done.stderr)


@pytest.mark.parametrize(
    "arguments, text, complaint",
    [
        ([], "", "standard input: empty; expected a chat request"),
        ([], '{"messages": [', "standard input: not JSON (Expecting value: line 1, column 15)"),
        (["--body"], "{}", "standard input: no chat request"),
        (["--config", "/nowhere/gw.yaml"], request("hi"), "/nowhere/gw.yaml: No such file or directory"),
    ],
    ids=["empty", "not json", "no messages", "no such file"],
)
def test_trim_says_in_one_line_what_it_cannot_use(arguments: list[str], text: str, complaint: str) -> None:
    done = RUNNER.invoke(main, ["trim", *arguments], input=text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


def test_a_file_as_an_argument_is_answered_with_how_trim_reads_one() -> None:
    done = RUNNER.invoke(main, ["trim", "request.json"])
    assert done.exit_code == 2
    assert "trim [OPTIONS] < request.json" in done.stderr


def test_trim_loads_no_model_for_a_request_that_is_left_alone() -> None:
    for text in ("hi", "word " * 9000 + "\n\nSummarise this document."):
        command = [sys.executable, "-X", "importtime", "-m", "gateway.cli", "trim"]
        done = subprocess.run(command, input=request(text), capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.startswith("forwarded as it is: ")
        assert re.search(r"\| +rich\n", done.stderr)
        assert not re.search(r"\| +(torch|sentence_transformers)\n", done.stderr)


def test_the_body_alone_is_the_request_itself_where_it_is_left_alone() -> None:
    done = RUNNER.invoke(main, ["trim", "--body"], input=request("hi"))
    assert (done.exit_code, done.stdout) == (0, request("hi"))


def test_a_configuration_is_checked_in_json_too(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("windowing: {trigger_tokens: many}\nlimits_of: 3\n")
    done = CliRunner().invoke(main, ["config", "check", str(file), "--json"])
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert found["good"] is False
    assert len(found["mistakes"]) == 2
    file.write_text("windowing: {mode: off}\n")
    done = CliRunner().invoke(main, ["config", "check", str(file), "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"good": True, "mistakes": []})


def commands(group: Any, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield the name of each command and its options."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", {option for parameter in command.params for option in parameter.opts}


def test_every_command_that_prints_something_prints_json_if_asked() -> None:
    found = dict(commands(typer.main.get_command(main)))
    assert {"trim", "teams add", "keys rotate", "config check"} <= set(found)
    assert [name for name, options in found.items() if "--json" not in options] == ["serve"]


def test_the_schema_is_the_same_with_json() -> None:
    assert (
        RUNNER.invoke(main, ["config", "schema", "--json"]).output == RUNNER.invoke(main, ["config", "schema"]).output
    )


def test_trim_says_in_json_what_it_says_in_words(tmp_path: Path) -> None:
    done = RUNNER.invoke(main, ["trim", "--json", "--window-tokens", "99"], input=request("hi"))
    found = json.loads(done.stdout)
    assert (done.exit_code, found["reason"], found["tokens_original"], found["window_tokens"]) == (0, "small", 8, 500)
    assert found["notes"] == ["--window-tokens 99 is held to windowing.min_window_tokens, 500, as a caller's would be"]
    done = RUNNER.invoke(main, ["trim", "--body", "--window-tokens", "99"], input=request("hi"))
    assert (done.stdout, done.stderr.strip()) == (request("hi"), found["notes"][0])
    done = RUNNER.invoke(main, ["trim", "--body", "--json"], input=request("hi"))
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize(
    "arguments, shown",
    [
        (["trim"], "trim: reading"),
        (["report"], "reading the ledger"),
        (["trim", "--json"], ""),
        (["report", "--json"], ""),
    ],
    ids=" ".join,
)
def test_progress_is_shown_on_a_terminal_and_never_beside_json(
    arguments: list[str], shown: str, tmp_path: Path
) -> None:
    near, far = pty.openpty()
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    done = subprocess.run(
        command,
        input=request("hi").encode(),
        stdout=subprocess.PIPE,
        stderr=far,
        check=True,
        timeout=60,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    os.close(far)
    seen = b""
    with contextlib.suppress(OSError):  # a terminal that nobody writes to any more
        while piece := os.read(near, 65536):
            seen += piece
    os.close(near)
    assert done.stdout
    if shown:
        assert shown in seen.decode()
    elif "trim" in arguments:
        assert seen == b""
    else:
        assert seen.decode().strip().startswith("The ledger holds no requests")
