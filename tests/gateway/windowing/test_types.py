import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from gateway.windowing.types import ChunkReport, Decision, Reason, WindowOutcome, WindowPolicy

ROOT = Path(__file__).parents[3]


def documented() -> str:
    return (ROOT / "docs" / "headers-and-metrics.md").read_text()


def given() -> set[str]:
    """Return the values of the reasons that the gateway's code gives anywhere."""
    source = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    return {Reason[name].value for name in re.findall(r"\bReason\.([A-Z_]+)", source)}


def test_decisions_are_documented() -> None:
    row = re.search(r"^\| `x-gateway-windowing` \|(.*)", documented(), re.MULTILINE)
    assert row
    assert set(re.findall(r"`(\w+)`", row[1])) == {f"{decision}" for decision in Decision}


def test_all_reasons_that_are_given_are_documented_and_no_others() -> None:
    table = documented().split("| reason | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == given()


@pytest.mark.parametrize("word", [*Decision, *Reason])
def test_decisions_and_reasons_are_written_as_headers_and_labels_want_them(word: str) -> None:
    assert re.fullmatch("[a-z]+(_[a-z]+)*", f"{word}")


def test_what_was_not_counted_is_not_zero() -> None:
    outcome = WindowOutcome(Reason.SMALL)
    assert (outcome.body, outcome.tokens_original, outcome.tokens_forwarded) == (None, None, None)


@pytest.mark.parametrize(
    "value, field",
    [
        (WindowOutcome(Reason.SMALL), "reason"),
        (WindowPolicy(8000, 4000, 500), "deadline_ms"),
        (ChunkReport(0, "user", 0, 4, 1, 0.5, True, "text"), "kept"),
    ],
)
def test_values_cannot_change_between_the_stages(value: object, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, None)
