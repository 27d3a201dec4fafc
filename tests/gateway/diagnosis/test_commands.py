import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.processes import free_port
from gateway.cli import main
from gateway.diagnosis import commands
from gateway.diagnosis.conformance import Compared
from tests.upstreams import Upstream

RUN = CliRunner()
OFF = "windowing: {mode: off}\n"


def written(folder: Path, text: str) -> str:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return str(file)


def test_the_doctor_says_what_to_do_and_fails_where_something_is_broken(tmp_path: Path, upstream: Upstream) -> None:
    good = written(tmp_path, f'upstreams: {{main: {{base_url: "{upstream.url}"}}}}\n{OFF}')
    result = RUN.invoke(main, ["doctor", "--config", good])
    assert result.exit_code == 0, result.output
    assert "upstream main" in result.stdout
    dead = written(tmp_path, f'upstreams: {{main: {{base_url: "http://127.0.0.1:{free_port()}/v1"}}}}\n{OFF}')
    result = RUN.invoke(main, ["doctor", "--config", dead, "--json"])
    assert result.exit_code == 1
    levels = {found["what"]: (found["level"], found["advice"]) for found in json.loads(result.stdout)}
    assert levels["upstream main"] == ("error", "is base_url right, and the server up?")


def test_a_configuration_that_cannot_be_read_is_the_first_finding(tmp_path: Path) -> None:
    result = RUN.invoke(main, ["doctor", "--config", written(tmp_path, "limits_of: 3"), "--json"])
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)
    assert "limits_of: unknown field" in found["said"]


def test_what_cannot_be_checked_is_said_in_one_line(upstream: Upstream) -> None:
    for url, said in (
        ("nonsense", "--upstream: expected a URL"),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1: The upstream 'upstream' can't be reached."),
    ):
        result = RUN.invoke(main, ["check", "--upstream", url])
        assert result.exit_code == 2
        assert said in result.output
        assert "Traceback" not in result.output


def test_openais_key_is_shown_to_nobody_else_unless_it_is_named(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    asked = ["check", "--upstream", upstream.url]
    monkeypatch.setattr(commands, "compared", nothing)
    for more, sent in (([], ""), (["--key-from", "OPENAI_API_KEY"], "Bearer sk-mine")):
        upstream.clear()
        assert RUN.invoke(main, [*asked, *more, "--json"]).exit_code == 0
        assert (upstream.last.get("authorization") or "") == sent
    assert commands._key("https://api.openai.com/v1", None) == "sk-mine"
    assert commands._key("https://api.openai.com.example.org/v1", None) is None
    result = RUN.invoke(main, [*asked, "--key-from", "NO_SUCH_KEY"])
    assert (result.exit_code, result.stderr) == (2, "--key-from: the environment has no NO_SUCH_KEY\n")


async def nothing(*_: object) -> AsyncIterator[Compared]:
    """Compare nothing: this is about who is asked for models, and with which key."""
    none: tuple[Compared, ...] = ()
    for found in none:
        yield found
