"""Log lines as JSON, one a request; the only structlog user."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TextIO, cast

import orjson
import structlog

from gateway.lines import Lines, Out
from gateway.record import RequestRecord

LONGEST_BODY = 200_000  # characters of a forwarded body; what is longer is cut


@cache
def standard_output() -> Lines:
    """Return what takes this process' lines to its standard output."""
    try:
        # Under a number of its own: whatever is opened as 1 once that is closed, no line gets into it.
        file = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # there is none
        file = -1
    return Lines(file, lambda count: _dumps({**_about("log_lines_lost"), "count": count}) + "\n")


def configure(out: Out | None = None) -> None:
    """Send every log line, the libraries' own too, to `out` as JSON: the standard output, unless another is named."""
    out = standard_output() if out is None else out
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_dumps)],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, out)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_traceback,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def _about(event: str) -> dict[str, object]:
    return {"event": event, "level": "info", "timestamp": datetime.now(UTC)}


def _encoded(value: object) -> bytes:
    try:
        return orjson.dumps(value, default=str)
    except TypeError:  # a file's name that is no Unicode, a number of more than 64 bits
        return json.dumps(value, default=str).encode()


def _dumps(value: object, **_: object) -> str:
    return _encoded(value).decode()


def _without_traceback(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # A traceback's lines may quote a prompt or a key; the kind of error and its place say enough.
    error = event.pop("exc_info", None)
    if isinstance(error, tuple) and error[1] is not None:
        event["error"] = type(error[1]).__name__
        event["where"] = place(error[1])
    return event


def place(error: BaseException) -> str:
    """Return the file and line that raised the error."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


class RequestLog:
    """Writes one line a request, without the detour through structlog's processors: these lines are many."""

    def __init__(self, out: Out | None = None) -> None:
        self._out = standard_output() if out is None else out

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        """Write the records' lines at once."""
        about = _encoded(_about("request"))[:-1] + b","
        self._out.write(b"".join([about + _encoded(fields(record))[1:] + b"\n" for record in records]).decode())
        self._out.flush()


def event(name: str, **details: object) -> None:
    """Write a line about the gateway itself; never a prompt's text or a secret."""
    structlog.get_logger().info(name, **details)


def fields(record: RequestRecord) -> dict[str, object]:
    """Return the record as the log line's fields."""
    # Long, since it is a list: one line a field, in the order in which they are written.
    usage, stages = record.usage, record.stages
    line: dict[str, object] = {
        "id": record.id,
        "time": record.time,
        "route": record.route,
        "team": record.team,
        "key": record.key or None,
        "user": record.user or None,
        "model": record.model,
        "model_served": record.model_served,
        "upstream": record.upstream,
        "attempts": [f"{one.candidate.upstream}: {one.outcome}" for one in record.attempts],
        "decision": record.decision,
        "reason": record.reason,
        "detail": record.detail or None,
        "tokens_original": record.tokens_original,
        "tokens_forwarded": record.tokens_forwarded,
        "tokens_saved": record.tokens_saved,
        "tokens_window": record.tokens_window,
        "skipped": record.skipped,
        "confidence": None if record.confidence is None else round(record.confidence, 3),
        "usage": None
        if usage is None
        else {
            "prompt": usage.prompt,
            "cached": usage.cached,
            "completion": usage.completion,
            "reasoning": usage.reasoning,
            "cache_written": usage.cache_written,
            "audio_prompt": usage.audio_prompt,
            "audio_completion": usage.audio_completion,
        },
        "usage_state": record.state,
        "cost_usd": _usd(record.cost.usd),
        "cost_saved_usd": _usd(record.cost.saved_usd),
        "cost_would_save_usd": _usd(record.cost.would_save_usd),
        "status": record.status,
        "error": record.error,
        "stream": record.stream,
        "client_gone": record.client_gone,
        "ms": {
            "receive": round(stages.receive, 3),
            "window": round(stages.window, 3),
            "overhead": round(stages.overhead, 3),
            "upstream_head": _ms(stages.upstream_head),
            "first_byte": _ms(stages.first_byte),
            "total": round(stages.total, 3),
            **{f"window_{name}": round(ms, 3) for name, ms in stages.windowing},
        },
    }
    if (body := record.forwarded_body) is not None:
        line["forwarded_body"] = body[:LONGEST_BODY]
        if len(body) > LONGEST_BODY:
            line["forwarded_body_left_out"] = len(body) - LONGEST_BODY
    return line


def _usd(value: Decimal | None) -> float | None:
    return None if value is None else round(float(value), 10)


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
