import io
import re

from rich.console import Console

from benchmarks.bench_traces import CONNECTIONS, SAMPLES, Found, gateways, show, turn
from benchmarks.load import Load
from tests.collector import SERVER, collecting


def test_a_traced_gateway_serves_and_its_collector_takes_the_traces() -> None:
    with collecting() as collector, gateways({"all": 1.0}, collector.url) as targets:
        found = turn(targets["all"], 1, 1)
        assert collector.wait(lambda seen: seen.span.kind == SERVER)
    assert found.load.errors == 0
    assert found.load.requests > 0
    assert found.cpu_us > 0
    assert found.memory_mb > 20


def test_the_table_says_what_of_off_is_left() -> None:
    found = {
        (name, connections): [Found(Load(rate, 1.0, 2.0, 0, 100), 200.0, 100.0)] * 2
        for name, rate in zip(SAMPLES, (1000.0, 500.0, 900.0), strict=True)
        for connections in CONNECTIONS
    }
    out = io.StringIO()
    show(found, Console(file=out, width=120))
    assert re.findall(r" (0\.50|0\.90) ", out.getvalue()) == ["0.50", "0.90"] * len(CONNECTIONS)
