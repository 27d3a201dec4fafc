import io
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import typer

from gateway.terminal import duration, fail, load_or_exit, progress, show_table


def test_a_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        fail("this is wrong")
    assert caught.value.exit_code == 2
    assert capsys.readouterr() == ("", "this is wrong\n")


def test_settings_are_loaded_or_their_mistakes_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text("windowing: {window_tokens: 1234}\n")
    assert load_or_exit(file).windowing.window_tokens == 1234
    file.write_text("windowing: {mode: maybe}\n")
    with pytest.raises(typer.Exit):
        load_or_exit(file)
    assert capsys.readouterr().err.startswith(f"{file}:1: windowing.mode: expected")


@pytest.mark.parametrize(
    "text, time",
    [("90s", timedelta(seconds=90)), ("15m", timedelta(minutes=15)), ("24h", timedelta(days=1)), ("2w", timedelta(14))],
)
def test_times_are_read(text: str, time: timedelta) -> None:
    assert duration(text) == time


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "1y", "1d ", "9999999d", "2027-01-31"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert duration(text) is None


def test_a_table_keeps_what_is_first_and_lets_no_escape_code_through(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("key", "name"), [("key_0123456789ab", "[red]x[/red]\x1b[2J " + "long " * 40)])
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["key", "name"]
    assert "key_0123456789ab" in out
    assert "[red]x[/red]·[2J" in out
    assert "\x1b" not in out


def test_progress_is_shown_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("asking", 2) as tell:
        tell("chat\x1b[2J")
        tell("[red]stream")
    shown = screen.getvalue()
    assert "asking: [red]stream" in shown
    assert "2/2" in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize("quiet, terminal", [(True, True), (False, False)], ids=["quiet", "no terminal"])
def test_nothing_is_shown_where_nobody_does(monkeypatch: pytest.MonkeyPatch, quiet: bool, terminal: bool) -> None:
    screen = Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("asking", quiet=quiet) as tell:
        tell("chat")
    assert screen.getvalue() == ""


class Screen(io.StringIO):
    """A terminal that keeps what it is sent."""

    def isatty(self) -> bool:
        return True
