import io

from rich.console import Console

from benchmarks.bench_peers_speed import BARE, GATEWAY, UPSTREAM, Found, bars_of, show
from benchmarks.load import Load


def found(gateway_rps: float, two_workers_ms: float) -> Found:
    rates = {UPSTREAM: 50_000.0, BARE: 6_000.0, GATEWAY: gateway_rps, "litellm": 70.0, "portkey": 600.0}
    loads = {(name, c): [Load(rps, 2.0, 4.0, 0)] for name, rps in rates.items() for c in (1, 16, 64)}
    loads[UPSTREAM, 1] = [Load(50_000.0, 1.5, 2.0, 0)]
    large = {name: [Load(100.0, p50, 9.0, 0)] for name, p50 in ((UPSTREAM, 0.5), (GATEWAY, 4.5))}
    return Found(loads, {GATEWAY: 700.0}, 70.0, {"headroom": "no wheel"}, {1: [0.2], 2: [two_workers_ms]}, large)


def missed(of: Found) -> list[str]:
    return [bar.what for bar in bars_of(of) if bar.holds is False]


def test_all_bars_hold() -> None:
    assert missed(found(3_100, 0.22)) == []


def test_each_bar_can_be_missed() -> None:
    of = found(2_000, 0.3)
    of.loads[GATEWAY, 1] = [Load(2_000, 3.0, 4.0, 0)]
    of.loads[GATEWAY, 16] = [Load(2_000, 3.0, 16.0, 0)]
    of.large[GATEWAY] = [Load(100.0, 6.0, 9.0, 0)]
    assert missed(of) == [bar.what for bar in bars_of(of)]


def test_a_peer_that_is_missing_is_no_missed_bar() -> None:
    of = found(3_100, 0.22)
    of.loads = {key: loads for key, loads in of.loads.items() if key[0] != "portkey"}
    assert missed(of) == []
    assert [bar.found for bar in bars_of(of) if "portkey" in bar.what] == [None] * 3


def test_the_table_has_all_that_was_found() -> None:
    out = Console(width=120, record=True, file=io.StringIO())
    show(found(3_100, 0.22), 1, out)
    text = out.export_text()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "gateway  " in line]
    assert cells[0] == ["gateway", "1", "3,100", "0.52", "44", "5.17", "0.50", "2.00", "4.00", "2.0", "0", "700"]
    assert "headroom: not measured, no wheel" in text
    assert "gateway without its windowing process: 70 MB" in text


def test_who_answers_nothing_has_no_figures() -> None:
    of = found(3_100, 0.22)
    of.loads["portkey", 64] = [Load(0.0, 0.0, 0.0, 0)]
    assert (of.rate("portkey", 64), of.added("portkey", 64), of.spread("portkey", 64)) == (None, None, None)
    assert of.ratio(GATEWAY, "portkey", 64) is None
