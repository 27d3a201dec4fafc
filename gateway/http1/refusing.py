"""What is said to a client whose request never became one, in OpenAI's shape."""

from dataclasses import dataclass

import orjson

_PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole reply, after which the connection ends."""

    reply: bytes

    @classmethod
    def of(cls, status: int, code: str, message: str) -> "Refusal":
        """Make the reply of an error."""
        kind = "gateway_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        body = orjson.dumps({"error": error})
        head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        return cls(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


BAD_REQUEST = Refusal.of(400, "invalid_http", "What was received is not an HTTP/1.1 request.")
TOO_SLOW = Refusal.of(408, "request_timeout", "The request took too long to arrive.")
HEAD_TOO_LARGE = Refusal.of(431, "headers_too_large", "The request's headers are larger than 64 KB.")
FAILED = Refusal.of(500, "internal_error", "The gateway failed on this request.")
