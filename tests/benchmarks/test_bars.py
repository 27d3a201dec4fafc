import io

from rich.console import Console

from benchmarks.bars import Bar, show_bars


def shown(*bars: Bar) -> tuple[bool, str]:
    out = Console(width=100, record=True, file=io.StringIO())
    return show_bars(bars, out), out.export_text()


def test_a_figure_holds_at_its_bar() -> None:
    assert Bar("requests/s", 0.5, least=0.5).holds is True
    assert Bar("requests/s", 0.49, least=0.5).holds is False
    assert Bar("p50 added", 1.0, most=1).holds is True
    assert Bar("p50 added", 1.1, most=1).holds is False


def test_a_missed_bar_is_told() -> None:
    good, text = shown(Bar("requests/s", 3.0, least=4, unit="x"), Bar("p50 added", 0.5, most=1, unit="ms"))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert not good
    assert rows == [["requests/s", "≥ 4 x", "3.00 x", "NO"], ["p50 added", "≤ 1 ms", "0.50 ms", "yes"]]


def test_a_figure_that_was_not_taken_misses_nothing() -> None:
    good, text = shown(Bar("requests/s", None, least=4))
    assert good
    assert "not taken" in text
