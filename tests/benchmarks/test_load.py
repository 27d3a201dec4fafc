from collections.abc import Iterator

import pytest

from benchmarks import load
from benchmarks.http_clients import BODY
from benchmarks.processes import free_port, running


@pytest.fixture(scope="module")
def canned() -> Iterator[str]:
    port = free_port()
    with running(["-m", "benchmarks.canned", str(port)], port) as server:
        yield server.url + "/v1/chat/completions"


@pytest.mark.parametrize("wrk", [True, False])
def test_both_generators_measure(canned: str, wrk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wrk and load.generator() != "wrk":
        pytest.skip("wrk is not installed")
    if not wrk:
        monkeypatch.setenv("PATH", "")
        assert load.generator() != "wrk"
    found = load.measure(canned, BODY, connections=4, seconds=0.3)
    assert found.rps > 10
    assert 0 < found.p50 <= found.p99
    assert found.errors == 0


def test_quantiles() -> None:
    values = list(range(1, 101))
    assert load.quantile(values, 0.5) == 51
    assert load.quantile(values, 0.99) == 100
    assert load.quantile([7.0], 0.99) == 7.0
