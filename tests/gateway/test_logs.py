import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

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


def test_a_very_long_body_is_cut_and_the_line_says_so(out: io.StringIO) -> None:
    logs.RequestLog(out)([replace(RECORD, forwarded_body="x" * size) for size in (200_000, 200_001, 300_000)])
    whole, *cut = map(json.loads, out.getvalue().splitlines())
    assert len(whole["forwarded_body"]) == 200_000
    assert "forwarded_body_left_out" not in whole
    assert [(len(line["forwarded_body"]), line["forwarded_body_left_out"]) for line in cut] == [
        (200_000, 1),
        (200_000, 100_000),
    ]


def test_what_is_no_unicode_or_too_large_a_number_is_logged_all_the_same(out: io.StringIO) -> None:
    logs.event("odd", file="caf\udce9", number=2**64)
    logs.RequestLog(out)([replace(RECORD, model="caf\udce9"), RECORD])
    odd, request, last = map(json.loads, out.getvalue().splitlines())
    assert (odd["file"], odd["number"]) == ("caf\udce9", 2**64)
    assert (request["model"], last["id"]) == ("caf\udce9", "req-1")
