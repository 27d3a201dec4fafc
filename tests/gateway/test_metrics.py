import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.metrics import Metrics
from gateway.windowing.frames import Lookups
from tests.gateway.records import RECORD, REFUSED

COUNT = """
import os, sys
from gateway.metrics import Metrics
from gateway.windowing.frames import Lookups
from tests.gateway.records import RECORD
metrics = Metrics()
for _ in range(int(sys.argv[1])):
    metrics([RECORD])
metrics.watch_pool(2, 0, Lookups(5, 1, 8, 2))
if len(sys.argv) > 2:
    print(metrics.exposition().decode())
"""


def values(exposition: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in exposition.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_a_record_is_counted_once_under_its_labels() -> None:
    metrics = Metrics()
    metrics([RECORD])
    found = values(metrics.exposition().decode())
    who = 'model="gpt-4o-mini",team="acme"'
    assert found[f'context_gateway_prompt_tokens_total{{kind="saved",{who}}}'] == 17_000
    assert found[f'gen_ai_client_token_usage_total{{gen_ai_token_type="input_cached",{who}}}'] == 1_000
    assert found[f'gen_ai_client_token_usage_total{{gen_ai_token_type="input",{who}}}'] == 2_000
    assert found[f'gen_ai_client_token_usage_total{{gen_ai_token_type="output",{who}}}'] == 60
    assert found[f"context_gateway_cost_saved_usd{{{who}}}"] == -0.0001
    assert found['gen_ai_server_request_duration_seconds_count{model="gpt-4o-mini",status="200",team="acme"}'] == 1


def test_a_refused_request_counts_as_an_error_and_saves_nothing() -> None:
    metrics = Metrics()
    metrics([REFUSED])
    found = values(metrics.exposition().decode())
    assert found['context_gateway_errors_total{code="invalid_json"}'] == 1
    assert found['context_gateway_client_gone_total{model="gpt-4o-mini",team="acme"}'] == 1
    assert not any(
        name.startswith(("context_gateway_cost_saved_usd", "context_gateway_windowing_dec")) for name in found
    )


def test_workers_are_added_up_and_the_live_gauges_of_dead_ones_forgotten(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COUNT, "3"], env=env, cwd=root, check=True)
    last = subprocess.run(
        [sys.executable, "-c", COUNT, "4", "show"], env=env, cwd=root, check=True, capture_output=True, text=True
    )
    found = values(last.stdout)
    assert found['context_gateway_prompt_tokens_total{kind="saved",model="gpt-4o-mini",team="acme"}'] == 7 * 17_000
    assert round(found['context_gateway_cost_saved_usd{model="gpt-4o-mini",team="acme"}'], 6) == -0.0007
    assert found["context_gateway_windowing_waiting"] == 2


def test_look_ups_of_vectors_and_texts_are_told_apart() -> None:
    metrics = Metrics()
    metrics.watch_pool(0, 0, Lookups(5, 1, 8, 2))
    found = values(metrics.exposition().decode())
    assert found['context_gateway_vector_cache{result="hit"}'] == 5
    assert found['context_gateway_text_cache{result="hit"}'] == 8
    assert found['context_gateway_text_cache{result="miss"}'] == 2


def test_requests_that_are_counted_together_count_as_they_would_one_by_one() -> None:
    slow = replace(RECORD, stages=replace(RECORD.stages, total=99_999.0, overhead=3.0), status=504)
    usual = replace(RECORD, stages=replace(RECORD.stages, total=640.0))
    records = [RECORD, REFUSED, slow, usual, RECORD, usual]
    together, apart = Metrics(), Metrics()
    together(records)
    for record in records:
        apart([record])
    counted, expected = (values(metrics.exposition().decode()) for metrics in (together, apart))
    for exposition in (counted, expected):
        for name in [name for name in exposition if "_created" in name]:
            del exposition[name]
    assert counted == pytest.approx(expected)
    who = 'model="gpt-4o-mini",status="200",team="acme"'
    assert counted[f'gen_ai_server_request_duration_seconds_bucket{{le="0.64",{who}}}'] >= 2  # a bound counts as within
    assert (
        counted[
            'gen_ai_server_request_duration_seconds_bucket{le="81.92",model="gpt-4o-mini",status="504",team="acme"}'
        ]
        == 0
    )
