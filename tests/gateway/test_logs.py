import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from gateway import logs
from tests.gateway.records import RECORD, REFUSED


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    before = logging.getLogger().handlers[:]
    logs.configure(stream)
    yield stream
    logging.getLogger().handlers[:] = before
    logs.configure(sys.stdout)
    logging.getLogger().handlers[:] = before


def test_a_request_is_one_line_of_json(out: io.StringIO) -> None:
    logs.RequestLog(out)([RECORD])
    (line,) = out.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["decision"] == "applied"
    tokens = {"prompt": 3000, "cached": 1000, "completion": 100, "reasoning": 40, "cache_written": 0}
    tokens |= {"audio_prompt": 0, "audio_completion": 0}
    assert entry["usage"] == tokens
    assert entry["cost_saved_usd"] == -0.0001
    assert entry["ms"]["window_rank"] == 40.0
    assert "forwarded_body" not in entry


def test_what_is_unknown_is_null_and_never_zero(out: io.StringIO) -> None:
    logs.RequestLog(out)([REFUSED])
    entry = json.loads(out.getvalue())
    assert [entry["usage"], entry["cost_usd"], entry["decision"]] == [None, None, None]
    assert entry["ms"]["upstream_head"] is None


def test_an_error_of_a_library_has_its_place_and_no_traceback(out: io.StringIO) -> None:
    try:
        raise ValueError("a prompt's text")
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    entry = json.loads(out.getvalue())
    assert entry["error"] == "ValueError"
    assert "test_logs.py" in entry["where"]
    assert "prompt" not in out.getvalue()
    assert "Traceback" not in out.getvalue()
