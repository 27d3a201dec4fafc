"""A client that sends exactly the headers and bytes it is given, and shows exactly what comes back."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str]]
HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"))
CHAT = "/chat/completions"
MODEL = "gpt-4o-mini"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: status, headers in order, the body without its transfer coding."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str:
        """Return the header's first value, or an empty string."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), "")

    def json(self) -> Any:
        """Return the body parsed."""
        return json.loads(self.body)

    def passed(self) -> list[tuple[str, str]]:
        """Return the headers but for hop-by-hop ones and the gateway's own; uvicorn writes names in lower case."""
        lowered = [(name.lower(), value) for name, value in self.headers]
        return [h for h in lowered if h[0] not in HOP_BY_HOP and not h[0].startswith("x-gateway-")]

    def events(self) -> list[Any]:
        """Return the parsed data of a stream's events but for the last, `[DONE]`."""
        data = [line.removeprefix(b"data: ") for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(item) for item in data if item != b"[DONE]"]


@contextmanager
def opened(
    base: str, method: str, target: str, headers: Headers = (), body: bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Send a request to `base` + `target` and give the reply once its head is there; no header is added but Host."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest(method, parts.path + target, skip_accept_encoding=True)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            connection.putheader(name, value.encode())
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        yield connection.getresponse()
    finally:
        connection.close()


def send(base: str, method: str, target: str, headers: Headers = (), body: bytes | None = None) -> Reply:
    """Send a request and return the whole reply."""
    with opened(base, method, target, headers, body) as reply:
        return Reply(reply.status, tuple(reply.getheaders()), reply.read())


def chat_body(content: object = "Say hello.", model: str = MODEL, **fields: object) -> bytes:
    """Return a chat body with one user message."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], **fields}).encode()


def post_chat(base: str, body: bytes, behaviour: str = "", headers: Headers = ()) -> Reply:
    """Post a chat body as SDKs do."""
    usual = [("Content-Type", "application/json"), ("Authorization", "Bearer sk-caller")]
    wished = [("x-behaviour", behaviour)] if behaviour else []
    return send(base, "POST", CHAT, [*usual, *wished, *headers], body)


def raw(base: str, data: bytes, timeout: float = 10) -> bytes:
    """Send bytes as they are and return what comes back until the other side closes or falls silent."""
    parts = urlsplit(base)
    received = b""
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout) as connection:
        connection.sendall(data)
        while data := connection.recv(65536):
            received += data
    return received


def eventually(condition: Any, timeout_s: float = 5) -> bool:
    """Return whether the condition comes true, waiting for it."""
    end = time.monotonic() + timeout_s
    while not (met := bool(condition())) and time.monotonic() < end:
        time.sleep(0.02)
    return met
