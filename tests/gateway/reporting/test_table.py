import pytest

from gateway.reporting.rows import Table, table
from gateway.reporting.table import to_text
from gateway.store.entries import Group, Usages

BY = (Group.TEAM, Group.MODEL, Group.STATE)


def made(
    team: str = "acme", model: str = "gpt-4o-mini", groups: tuple[Group, ...] = (Group.TEAM, Group.MODEL)
) -> Table:
    sums = Usages(
        (team, model, "settled"),
        requests=12_345,
        windowed=1,
        tokens_original=123_456_789,
        tokens_forwarded=23_456_789,
        priced=12_000,
        cost_nano=1_234_567_890_123,
        saved_nano=-5_000_000,
        refused=17,
        failed=3,
        unsettled=2,
        timed=12_345,
        total_ms=12_345_000.0,
    )
    return table([sums, Usages(("zeta", "o3", "settled"), requests=5)], BY, groups)


def words(line: str) -> str:
    return " ".join(line.split())


def test_a_file_holds_every_figure_whole() -> None:
    lines = to_text(made(), terminal=False).splitlines()
    assert words(lines[0]) == "tokens tokens effective cost net saved mean"
    assert words(lines[1]) == "team model requests original forwarded tokens USD USD ms refused failed"
    assert words(lines[2]) == "acme gpt-4o-mini 12,345 123,456,789 23,456,789 19.0% 1,234.5679 -0.005 1,000.0 17 3"
    assert words(lines[3]) == "zeta o3 5 0 0 – – – – 0 0"
    assert lines[4].split()[:3] == ["total", "12,350", "123,456,789"]
    assert lines[5:] == [
        "350 requests of unknown cost, in no sum of money",
        "2 requests unsettled: their gateway died, they count as the most they can have been",
    ]


@pytest.mark.parametrize("width", [80, 100])
def test_a_terminal_of_usual_width_shows_every_figure_shortened(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = to_text(made(), terminal=True).splitlines()
    assert max(map(len, lines[:4])) <= width
    assert words(lines[0]) == "team model requests tokens kept cost $ saved $ ms 429 5xx"
    assert words(lines[1]) == "acme gpt-4o-mini 12.3K 123M 19.0% 1,235 -0.005 1,000 17 3"
    assert not any("…" in line for line in lines)


def in_shadow() -> Table:
    sums = Usages(
        ("acme", "gpt-4o-mini", "settled"),
        requests=1_300,
        tokens_original=123_456_789,
        tokens_forwarded=123_456_789,
        priced=1_300,
        cost_nano=1_234_567_890,
        shadowed=1_200,
        tokens_shadowed=120_000_000,
        tokens_window=12_000_000,
        shadow_priced=1_199,
        would_save_nano=98_765_432_100,
    )
    return table([sums, Usages(("zeta", "o3", "settled"), requests=5)], BY, (Group.TEAM, Group.MODEL))


def test_what_windows_in_shadow_would_have_saved_is_told_apart_from_what_was_saved() -> None:
    lines = to_text(in_shadow(), terminal=False).splitlines()
    assert words(lines[2]) == "acme gpt-4o-mini 1,300 123,456,789 123,456,789 – 1.2346 0.0000 – 0 0"
    assert lines[6] == "What windows would have saved that were made in shadow mode; nothing of it was saved:"
    assert words(lines[8]) == "windows in tokens of tokens of would save would save would save net"
    assert words(lines[9]) == "team model shadow originals windows tokens % USD"
    figures = "1,200 120,000,000 12,000,000 108,000,000 90.0% 98.7654"
    assert words(lines[10]) == f"acme gpt-4o-mini {figures}"
    assert words(lines[11]) == f"total {figures}"  # and no team that has none
    assert lines[-1] == "1 request with a window in shadow of which nobody knows what money it would have saved"


def test_without_windows_in_shadow_nothing_is_said_of_them() -> None:
    assert "shadow" not in to_text(made(), terminal=False)


def test_what_would_have_been_saved_fits_a_terminal_of_usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = to_text(in_shadow(), terminal=True).splitlines()
    heading = next(place for place, line in enumerate(lines) if "would save" in line)
    assert max(map(len, lines[heading : heading + 3])) <= 80
    assert words(lines[heading]) == "team model windows originals in them would save % net $"
    assert words(lines[heading + 1]) == "acme gpt-4o-mini 1,200 120M 12.0M 108M 90.0% 98.77"


def test_long_names_are_folded_and_not_cut() -> None:
    model = "provider/a-model-of-a-very-long-name-that-somebody-made-up"
    lines = to_text(made(model=model), terminal=False).splitlines()
    start = lines[1].index("model")
    assert "".join(line[start : start + 32].strip() for line in lines[2:4]) == model


def test_a_terminal_is_told_nothing_by_a_name() -> None:
    text = to_text(made("\x1b[31m[red]x\u202e", ""), terminal=False)
    assert "·[31m[red]x·" in text
    assert "\x1b" not in text
    assert "(none)" in text


def test_without_groups_the_sum_is_the_row() -> None:
    lines = to_text(made(groups=()), terminal=False).splitlines()
    assert len(lines) == 5
    assert lines[2].split()[0] == "12,350"
