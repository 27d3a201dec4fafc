"""An upstream that bills: `python -m benchmarks.billing PORT`; GET /bills says what it has billed to whom.

What it does with a request stands in the body's `metadata`: how many tokens to answer with, milliseconds a token takes,
an error's status to answer with instead, after how many tokens to break off a stream. A stream is billed by the tokens
that went out before its client left.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import uvicorn

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Billing:
    """The ASGI application, with one bill for each user's name that it was asked for."""

    def __init__(self) -> None:
        self.bills: dict[str, tuple[int, int]] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            await _json(send, 200, self.bills if scope["path"] == "/bills" else {})
            return
        body = await _body(receive)
        asked = orjson.loads(body)
        plan = asked["metadata"]
        if plan["status"] != 200:
            await _json(send, plan["status"], {"error": {"message": "as planned", "type": "server_error"}})
            return
        work = self._stream if asked.get("stream") else self._whole
        await work(asked["user"], len(body) // 4, plan, receive, send)

    async def _whole(self, user: str, prompt: int, plan: dict[str, Any], _: Receive, send: Send) -> None:
        # Once begun it is produced whole and billed, whether anybody waits for it or not.
        self.bills[user] = (prompt, plan["tokens"])
        await asyncio.sleep(plan["tokens"] * plan["ms"] / 1e3)
        message = {"role": "assistant", "content": "word " * plan["tokens"]}
        await _json(send, 200, {"choices": [{"index": 0, "message": message}], "usage": _usage(prompt, plan["tokens"])})

    async def _stream(self, user: str, prompt: int, plan: dict[str, Any], receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_gone(receive))
        self.bills[user] = (prompt, 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for sent in range(1, plan["tokens"] + 1):
            await _event(send, {"choices": [{"index": 0, "delta": {"content": "word"}}], "usage": None})
            self.bills[user] = (prompt, sent)
            await asyncio.sleep(plan["ms"] / 1e3)
            if gone.done() or sent == plan.get("breaks"):
                gone.cancel()
                return  # an incomplete reply makes the server close the connection
        await _event(send, {"choices": [], "usage": _usage(prompt, plan["tokens"])})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})
        gone.cancel()


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _event(send: Send, value: object) -> None:
    await send({"type": "http.response.body", "body": b"data: " + orjson.dumps(value) + b"\n\n", "more_body": True})


async def _json(send: Send, status: int, value: object) -> None:
    body = orjson.dumps(value)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


if __name__ == "__main__":
    uvicorn.run(Billing(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
