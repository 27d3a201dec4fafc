"""Requests, and windows read from outside, for the tests of windowing."""

import json
from pydoc_data import topics
from typing import Any

from gateway.windowing.markers import pattern
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy
from gateway.windowing.window import window
from retrieval.retriever import Retriever
from retrieval.types import Deadline

RETRIEVER = Retriever(None)
POLICY = WindowPolicy(trigger_tokens=4000, window_tokens=2000, deadline_ms=60_000)
TINY = WindowPolicy(trigger_tokens=300, window_tokens=150, deadline_ms=60_000)
REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
WORDS = [*REFERENCE[:2000].split(), "#W42", "näht", "文字", "😀"]
# What may become of an oversized request that is sound.
MADE = (Reason.RELEVANCE, Reason.NOTHING_TO_TRIM, Reason.SMALL, Reason.WHOLE_DOCUMENT, Reason.LOW_CONFIDENCE)
QUESTION = "What does the with statement do when an exception is raised in its suite?"


def run(body: Any, policy: WindowPolicy = POLICY, explain: bool = False, **style: Any) -> WindowOutcome:
    data = body if isinstance(body, bytes) else json.dumps(body, **style).encode("utf-8", "surrogatepass")
    return window(data, policy, RETRIEVER, Deadline.after(60), explain)


def request(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": list(messages), **fields}


def forwarded(outcome: WindowOutcome) -> list[dict[str, Any]]:
    assert outcome.reason is Reason.RELEVANCE, (outcome.reason, outcome.detail)
    assert outcome.body is not None
    found = json.loads(outcome.body)["messages"]
    assert isinstance(found, list)
    return found


def texts_of(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if part.get("type") == "text"]


def runs_of(text: str) -> list[str]:
    """The lines of a text without its markers: each must stand in the original."""
    lines = [line.strip() for piece in pattern.split(text) for line in piece.splitlines()]
    return [line for line in lines if len(line) >= 20]


# Shapes
