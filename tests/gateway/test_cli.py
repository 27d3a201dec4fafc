import json
import socket
from pathlib import Path

from typer.testing import CliRunner

from gateway.cli import main

RUNNER = CliRunner()


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


def test_a_model_that_cannot_be_loaded_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text("windowing: {embedding_model: /nowhere/at/all}\n")
    words = " ".join(f"line {n} of a long text" for n in range(3000))
    request = json.dumps({"messages": [{"role": "user", "content": f"{words}\n\nWhat is in line 17?"}]})
    done = RUNNER.invoke(main, ["trim", "--config", str(file)], input=request)
    assert done.exit_code == 2
    assert "'/nowhere/at/all' cannot be loaded" in done.output
    assert "Traceback" not in done.output
