"""Answers as peers_driver.py does, with the gateway's windowing by the default configuration.

Every request finds a cold cache of vectors. A process of its own, so that it gets the settings of threads that the
gateway gives its windowing processes, and is timed as the peers are.
"""

import json
import time

from benchmarks.peers_driver import MODEL, Answer, Compress, Request, serve
from gateway.config import WindowingSettings
from gateway.windowing.types import Reason, WindowPolicy
from gateway.windowing.window import window
from retrieval.embedding import load_embedder
from retrieval.retriever import Retriever
from retrieval.types import Deadline


def windowing() -> Compress:
    """Load the model and return what windows a request."""
    settings = WindowingSettings()
    embedder = load_embedder(settings.embedding_model)

    def windowed(request: Request) -> Answer:
        body = json.dumps({"model": MODEL, "messages": request["messages"]}, ensure_ascii=False).encode()
        policy = WindowPolicy(settings.trigger_tokens, request["target"], settings.deadline_ms)
        retriever = Retriever(embedder)
        start = time.perf_counter()
        found = window(body, policy, retriever, Deadline.after(policy.deadline_ms / 1e3))
        ms = (time.perf_counter() - start) * 1e3
        note = "" if found.reason is Reason.RELEVANCE else f"forwarded as it is: {found.reason}"
        return Answer(json.loads(found.body or body)["messages"], note=found.detail or note, ms=ms)

    return windowed


if __name__ == "__main__":
    serve("context-gateway", windowing())
