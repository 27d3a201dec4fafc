"""A retriever that has been through one request: what the first window pays for is no real request's time."""

import json

from gateway.windowing.types import WindowPolicy
from gateway.windowing.window import window
from retrieval.dense import DenseLimits
from retrieval.retriever import Retriever
from retrieval.types import Deadline

_TEXT = "\n".join(f"Line {n} of a text that only rehearses." for n in range(1000))
_TURNS = (("user", _TEXT), ("assistant", "I have read it."), ("user", "What does line 17 rehearse?"))
_BODY = json.dumps({"messages": [{"role": role, "content": content} for role, content in _TURNS]}).encode()
_POLICY = WindowPolicy(trigger_tokens=1000, window_tokens=1000, deadline_ms=60_000)


def rehearsed(model: str, embedding_ms: int | None) -> Retriever:
    """Return a retriever with the model loaded, all code paths run once, and knowing how fast it embeds.

    Raises whatever the model's library raises where the model cannot be loaded.
    """
    # Imported here: torch takes seconds, which whoever counts tokens or leaves a request alone does not need.
    from retrieval.embedding import load_embedder  # noqa: PLC0415

    retriever = Retriever(load_embedder(model, threads=1), dense=_limits(embedding_ms))
    window(_BODY, _POLICY, retriever, Deadline.after(60))
    retriever.warm(lambda: True)
    return retriever


def _limits(embedding_ms: int | None) -> DenseLimits:
    """Return the limits of an operator who gives embedding that much time, whatever ranking took."""
    return DenseLimits() if embedding_ms is None else DenseLimits(share=float("inf"), seconds=embedding_ms / 1e3)
