"""The gateway's own errors, in OpenAI's shape; an upstream's errors are never translated, they are relayed.

GatewayError
+-- InvalidJsonError           400  the body of a chat request or of an operator's is not JSON
+-- InvalidRequestError        400  a parameter of the gateway's own routes, or a body that limits need, makes no sense
+-- AuthenticationError        401  no key, or one that no team has
+-- NotAllowedError            403  a model or a route that the team or the key may not use
+-- UnknownUrlError            404  a path outside the API
+-- BodyTooLargeError          413  a body that is read whole, over the configured limit
+-- InsufficientQuotaError     429  a budget is used up
+-- RateLimitError             429  too much at once
+-- WebSocketError             501  a connection that is to become a WebSocket, as those of the Realtime API
+-- StoreOutageError           503  the shared store is away, and requests with limits are refused meanwhile
+-- UpstreamUnreachableError   502  no connection, or one that broke
|   +-- UpstreamNotConnectedError   nothing can have been sent: safe to try again
+-- UpstreamOpenError          503  an upstream that nothing answers at is left alone for a while
+-- UpstreamTimeoutError       504  no answer, or a silence longer than allowed
+-- InternalError              500  a fault of the gateway's own
"""

import math

import orjson


class GatewayError(Exception):
    """An error that the gateway answers itself; `str()` of it is safe to show to the caller."""

    status = 500
    type = "gateway_error"
    code: str | None = None
    param: str | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the reply's head says of it, beside the body."""
        return []

    def body(self) -> bytes:
        """Return the JSON body, as OpenAI's SDKs expect it."""
        return orjson.dumps(self._shape())

    def sse_event(self, number: int | None = None) -> bytes:
        """Return the same as the last event of a stream that has begun; `number` is its own where events have one."""
        if number is None:
            return b"data: " + self.body() + b"\n\n"
        numbered = {"type": "error", "sequence_number": number, **self._shape()}
        return b"event: error\ndata: " + orjson.dumps(numbered) + b"\n\n"

    def _shape(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}


class InvalidJsonError(GatewayError):
    """The body of a chat request or of an operator's is not JSON."""

    status, type, code = 400, "invalid_request_error", "invalid_json"


class InvalidRequestError(GatewayError):
    """A parameter of the gateway's own routes makes no sense, or the body of a caller with limits can't be read."""

    status, type, code = 400, "invalid_request_error", "invalid_request"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class AuthenticationError(GatewayError):
    """The caller's key belongs to no team."""

    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class NotAllowedError(GatewayError):
    """The team, or the key, may not use this model or route."""

    status, type, code = 403, "invalid_request_error", "not_allowed"


class UnknownUrlError(GatewayError):
    """The path is not part of the API."""

    status, type, code = 404, "invalid_request_error", "unknown_url"


class BodyTooLargeError(GatewayError):
    """A body that is read whole is larger than the operator allows."""

    status, type, code = 413, "invalid_request_error", "body_too_large"


class InsufficientQuotaError(GatewayError):
    """A budget has no room for the request; asking again before it begins anew is of no use."""

    status, type, code = 429, "insufficient_quota", "insufficient_quota"

    def __init__(self, message: str, retry_after_s: int | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Tell the SDKs, which ask again after every 429, not to."""
        wait = [] if self.retry_after_s is None else [(b"retry-after", b"%d" % self.retry_after_s)]
        return [*wait, (b"x-should-retry", b"false")]


class RateLimitError(GatewayError):
    """More at once than the team may; after a short while there is room again."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Tell when there is room again, which the SDKs wait for."""
        return [(b"retry-after", b"%d" % self.retry_after_s)]


class WebSocketError(GatewayError):
    """The client wants a WebSocket, which is not spoken here."""

    status, type, code = 501, "invalid_request_error", "websocket_not_supported"


class StoreOutageError(GatewayError):
    """The shared store is away, so that nobody knows what is left of a budget."""

    status, type, code = 503, "gateway_error", "store_unavailable"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Tell when to try again."""
        return [(b"retry-after", b"1")]


class UpstreamUnreachableError(GatewayError):
    """The upstream can't be reached, or the connection to it broke."""

    status, type, code = 502, "upstream_error", "upstream_unreachable"


class UpstreamNotConnectedError(UpstreamUnreachableError):
    """No connection came about, so that the upstream can't have begun to work."""


class UpstreamTimeoutError(GatewayError):
    """The upstream did not answer in time, or fell silent."""

    status, type, code = 504, "upstream_error", "upstream_timeout"


class UpstreamOpenError(GatewayError):
    """Nothing answers at the upstream, so that it is left alone for a while."""

    status, type, code = 503, "upstream_error", "upstream_unavailable"

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Tell when it will be tried again."""
        return [(b"retry-after", b"%d" % max(1, math.ceil(self.wait_s)))]


class InternalError(GatewayError):
    """A fault of the gateway's own; the log names its place."""

    status, type, code = 500, "gateway_error", "internal_error"
