"""A client that tells whole replies from cut ones, and streams that ended well from those that broke."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

BUDGETED, UNLIMITED = "sk-fault-team-with-budgets", "sk-fault-team-without-limits"
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client saw. `whole`: the reply came to the end that HTTP gives it; status 0: there was none."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    seconds: float

    @property
    def id(self) -> str:
        """The gateway's name for the request."""
        return self.headers.get("x-gateway-request-id", "")

    @property
    def error(self) -> str:
        """The code of an error in OpenAI's shape; empty where the body is no such error."""
        return _code(self.body)

    @property
    def events(self) -> list[bytes]:
        """The data of a stream's events."""
        return [event.removeprefix(b"data: ") for event in self.body.split(b"\n\n") if event]

    @property
    def ended_with_error(self) -> bool:
        """Whether it is a stream of whole events, of which the last is an error and no other is."""
        events = self.events
        good = self.body.endswith(b"\n\n") and all(_is_json(event) for event in events)
        return good and bool(_code(events[-1])) and not any(_code(event) for event in events[:-1])

    @property
    def good(self) -> bool:
        """Whether it is a whole reply with status 200, a stream with its proper end."""
        stream = self.headers.get("content-type", "").startswith("text/event-stream")
        return self.status == 200 and self.whole and (not stream or self.body.endswith(b"data: [DONE]\n\n"))


def body_of(model: str, stream: bool = False, **more: object) -> bytes:
    """Return a small chat body."""
    message = {"role": "user", "content": "Say hello."}
    return json.dumps({"model": model, "stream": stream, "max_tokens": 50, "messages": [message], **more}).encode()


def headers_of(key: str, behaviour: str = "", pace_ms: float = 0) -> dict[str, str]:
    """Return the headers of a request; `behaviour` is what the upstream shall do with it."""
    found = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    wished = {"x-behaviour": behaviour, "x-pace-ms": str(pace_ms) if pace_ms else ""}
    return {**found, **{name: value for name, value in wished.items() if value}}


def ask(  # noqa: PLR0913 - what a request may be
    url: str,
    model: str = "gpt-main",
    behaviour: str = "",
    *,
    key: str = BUDGETED,
    stream: bool = False,
    pace_ms: float = 0,
    timeout_s: float = _PATIENCE_S,
) -> Answer:
    """Send a small chat request to `url` (up to /v1) and return what came back, however that ended."""
    parts, began = urlsplit(url), time.monotonic()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    status, headers, body, whole = 0, dict[str, str](), b"", False
    try:
        sent = headers_of(key, behaviour, pace_ms)
        connection.request("POST", parts.path + "/chat/completions", body_of(model, stream), sent)
        reply = connection.getresponse()
        status, headers = reply.status, {name.lower(): value for name, value in reply.getheaders()}
        body, whole = reply.read(), True
    except http.client.IncompleteRead as cut:
        body = cut.partial
    except (OSError, http.client.HTTPException):
        pass  # the answer says how far it came
    finally:
        connection.close()
    return Answer(status, headers, body, whole, time.monotonic() - began)


def _code(body: bytes) -> str:
    try:
        found: Any = json.loads(body)["error"]
        return str(found["code"] or found["type"]) if set(found) == {"message", "type", "param", "code"} else ""
    except (ValueError, KeyError, TypeError):
        return ""


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return data == b"[DONE]"
    return True
