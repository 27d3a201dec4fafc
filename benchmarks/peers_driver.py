"""Runs in a peer's own interpreter: requests as JSON lines in, what the peer's public API makes of them out.

Imports nothing of this project: `PYTHON -I peers_driver.py litellm|headroom|headroom-documents`. A line in is
{"messages", "tokens", "target"}, a line out {"messages", "tools", "note", "ms"} or {"error", "ms"}. The first line out
is {"version"}, after one request of the driver's own has paid for what is loaded lazily.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODEL = "gpt-4o-mini"
TRIGGER = 4000  # tokens; the gateway's default
CONTEXT = 128_000  # tokens; the model's

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request; `tools` are the characters of tools that are added to it, `ms` the time if not all."""

    messages: list[dict[str, Any]]
    tools: int = 0
    note: str = ""
    ms: float | None = None


Compress = Callable[[Request], Answer]


def _litellm(request: Request) -> Answer:
    found = importlib.import_module("litellm").compress(
        request["messages"], model=MODEL, compression_trigger=TRIGGER, compression_target=request["target"]
    )
    return Answer(found["messages"], len(json.dumps(found["tools"])) if found["tools"] else 0)


def _headroom(request: Request, **settings: Any) -> Answer:  # noqa: ANN401 - handed on to their keyword arguments
    compress = importlib.import_module("headroom").compress
    return Answer(compress(request["messages"], model=MODEL, model_limit=CONTEXT, **settings).messages)


def _headroom_documents(request: Request) -> Answer:
    """Use what their CompressConfig recommends for documents: user messages too, none protected, a share to keep."""
    share = min(1.0, request["target"] / request["tokens"])
    return _headroom(request, compress_user_messages=True, protect_recent=0, target_ratio=share)


PEERS: dict[str, tuple[str, Compress]] = {
    "litellm": ("litellm", _litellm),
    "headroom": ("headroom-ai", _headroom),
    "headroom-documents": ("headroom-ai", _headroom_documents),
}


def _answer(compress: Compress, request: Request) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        answer = compress(request)
    except Exception as error:  # noqa: BLE001 - whatever the peer raises is its result for this request
        # The kind alone: the message may hold text of the prompt.
        return {"error": type(error).__name__, "ms": (time.perf_counter() - start) * 1e3}
    ms = (time.perf_counter() - start) * 1e3 if answer.ms is None else answer.ms
    return {"messages": answer.messages, "tools": answer.tools, "note": answer.note, "ms": ms}


def _warm_up() -> Request:
    text = "\n".join(f"Line {n} of a text that only rehearses." for n in range(1000))
    question = {"role": "user", "content": "What does line 17 rehearse?"}
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "Read."}, question]
    return {"messages": messages, "tokens": 10_000, "target": 2000}


def serve(package: str, compress: Compress) -> None:
    """Answer every line of standard input on what was standard output; all that is printed goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        _answer(compress, _warm_up())
        print(json.dumps({"version": importlib.metadata.version(package)}), file=answers, flush=True)
        for line in sys.stdin.buffer:
            print(json.dumps(_answer(compress, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    serve(*PEERS[sys.argv[1]])
