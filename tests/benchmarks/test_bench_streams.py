from benchmarks.bench_streams import BARE, GATEWAY, UPSTREAM, Crowd, Delays, Found, Poured, bars_of


def found(*, first_ms: float, rate: float, cost_us: float, most_mb: float, whole: int, broken: int) -> Found:
    one = Found()
    for name, later in ((UPSTREAM, 0.0), (BARE, 0.1), (GATEWAY, first_ms)):
        one.delays[name] = [Delays((5.0 + later,) * 3, (0.1 + later,) * 9)]
        one.poured[name] = [Poured(rate if name == GATEWAY else 100_000.0, 2.0, 0)]
        one.steady[name] = [Poured(10_000.0, cost_us if name == GATEWAY else 20.0, 0, (1.0,))]
    one.crowds[GATEWAY] = Crowd(1000, whole, 70.0, most_mb, (1.0,))
    one.broken = broken
    return one


GOOD = found(first_ms=0.9, rate=60_000, cost_us=33, most_mb=170, whole=1000, broken=0)
BAD = found(first_ms=1.1, rate=59_000, cost_us=34, most_mb=171, whole=999, broken=1)


def test_all_bars_hold() -> None:
    assert [bar.what for bar in bars_of(GOOD) if not bar.holds] == []


def test_each_bar_can_be_missed() -> None:
    bars = bars_of(BAD)
    assert [bar.what for bar in bars if bar.holds] == []
