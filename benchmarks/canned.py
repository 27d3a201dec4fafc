"""A canned upstream that costs almost nothing: one fixed chat completion for whatever comes.

`python -m benchmarks.canned PORT`
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

ANSWER = {
    "id": "chatcmpl-canned",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23},
}
BODY = json.dumps(ANSWER).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Canned(asyncio.Protocol):
    """Answers every request on a kept-alive connection; understands Content-Length only."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but inheritance
        self.head = b""
        self.missing = 0

    def data_received(self, data: bytes) -> None:
        """Answer once the head and as many bytes as it declares have come."""
        if self.missing:
            self.missing -= len(data)
        else:
            self.head += data
            head, end, body = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.head = b""
            _, _, length = head.lower().partition(b"content-length:")
            self.missing = int(length.split(b"\r\n", 1)[0] or 0) - len(body)
        if self.missing <= 0:
            self.missing = 0
            self.transport.write(REPLY)


async def serve(port: int) -> None:
    """Serve until cancelled."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
