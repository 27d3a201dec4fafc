import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import main
from tests.integration.conftest import Gateway
from tests.upstreams import Upstream

RUN = CliRunner()


def measured(url: str, *more: str, model: str = "behave:forgetful") -> Result:
    return RUN.invoke(main, ["measure", "--url", url, "--model", model, *more])


def facts(folder: Path) -> Path:
    """Write facts with answers that stand nowhere else."""
    file = folder / "facts.jsonl"
    towns = ("Amsel", "Birke", "Celle", "Dachs", "Ebern", "Fulda", "Gotha", "Husum")
    lines = [
        {
            "passage": f"The ferry to {town} carries the number ZZ-{i}7{i}.",
            "question": f"Which number does the boat to {town} have?",
            "answers": f"ZZ-{i}7{i}",
        }
        for i, town in enumerate(towns)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_a_model_that_forgets_the_middle_reaches_further_through_the_gateway(
    warm_gateway: Gateway, upstream: Upstream, tmp_path: Path
) -> None:
    options = ("--lengths", "1000,12000", "--questions", "8", "--facts", str(facts(tmp_path)), "--at-once", "2")
    result = measured(warm_gateway.url, *options, "--json")
    assert result.exit_code == 0, result.output
    came: dict[str, Any] = json.loads(result.stdout)
    assert (came["effective_direct"], came["effective_through"]) == (1_000, 12_000)
    short, long = came["lengths"]
    assert (short["direct"]["right"], short["through"]["right"], short["windowed"]) == (8, 8, 0)
    assert long["direct"]["right"] < 6
    assert (long["through"]["right"], long["windowed"]) == (8, 8)
    assert long["through"]["prompt_tokens"] < long["direct"]["prompt_tokens"] / 2
    assert (came["lost"], came["won"]) == (0, 8 - long["direct"]["right"])
    assert len(upstream.requests) == 32


def test_the_table_says_it_in_words(warm_gateway: Gateway, upstream: Upstream, tmp_path: Path) -> None:
    result = measured(
        warm_gateway.url,
        "--lengths",
        "1000",
        "--questions",
        "2",
        "--facts",
        str(facts(tmp_path)),
        model="behave:narrow",
    )
    assert result.exit_code == 0, result.output
    assert "directly 1,000 tokens or more, through the gateway 1,000 tokens or more" in result.stdout
    assert "(34%–100%)" in result.stdout
    assert "what that costs is not known" in result.stdout
    assert "Answers: 0 right directly only, 0 right through the gateway only" in result.stdout
    assert "the price of behave:narrow is not known" in result.stderr
    assert len(upstream.requests) == 4


def test_a_prompt_too_long_for_the_model_is_a_wrong_answer_and_no_end(
    warm_gateway: Gateway, upstream: Upstream, tmp_path: Path
) -> None:
    options = ("--lengths", "1000,6000", "--questions", "2", "--facts", str(facts(tmp_path)), "--json")
    result = measured(warm_gateway.url, *options, model="behave:narrow")
    assert result.exit_code == 0, result.output
    long = json.loads(result.stdout)["lengths"][1]
    assert (long["direct"]["right"], long["direct"]["began_ms"]) == (0, None)
    assert len(upstream.requests) == 8


def test_an_upstreams_refusal_ends_it_and_is_quoted(warm_gateway: Gateway, upstream: Upstream) -> None:
    result = measured(warm_gateway.url, "--questions", "1", model="behave:error-401")
    assert result.exit_code == 2
    assert "status 401" in result.stderr
    assert "The upstream says 401." in result.stderr
    assert len(upstream.requests) == 1


def test_a_stream_that_breaks_off_each_time_is_no_wrong_answer(
    warm_gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.effective.asking._WAIT_S", 0.01)
    result = measured(warm_gateway.url, "--questions", "1", model="behave:reset-in-stream")
    assert result.exit_code == 2
    assert "the stream broke off" in result.stderr
    assert len(upstream.requests) == 4
