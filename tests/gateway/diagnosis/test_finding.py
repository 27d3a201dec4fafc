import pytest

from gateway.diagnosis.finding import Finding, Level


def test_a_finding_cannot_be_changed_and_needs_no_advice() -> None:
    finding = Finding("store", Level.OK, "SQLite")
    assert finding.advice == ""
    with pytest.raises(AttributeError):
        finding.said = "Redis"  # type: ignore[misc]
