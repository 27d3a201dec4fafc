"""The gateway's own errors, in OpenAI's shape; an upstream's errors are never translated, they are relayed.

GatewayError
+-- InvalidJsonError           400  the chat body is not JSON
+-- AuthenticationError        401  no key, or one that no team has
+-- UnknownUrlError            404  a path outside the API
+-- BodyTooLargeError          413  a chat body over the configured limit
+-- UpstreamUnreachableError   502  no connection, or one that broke
|   +-- UpstreamNotConnectedError   nothing can have been sent: safe to try again
+-- UpstreamTimeoutError       504  no answer, or a silence longer than allowed
+-- InternalError              500  a fault of the gateway's own
"""

import orjson


class GatewayError(Exception):
    """An error that the gateway answers itself; `str()` of it is safe to show to the caller."""

    status = 500
    type = "gateway_error"
    code: str | None = None
    param: str | None = None

    def body(self) -> bytes:
        """Return the JSON body, as OpenAI's SDKs expect it."""
        return orjson.dumps(
            {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}
        )

    def sse_event(self) -> bytes:
        """Return the same as the last event of a stream that has begun."""
        return b"data: " + self.body() + b"\n\n"


class InvalidJsonError(GatewayError):
    """The body of a chat request is not JSON."""

    status, type, code = 400, "invalid_request_error", "invalid_json"


class AuthenticationError(GatewayError):
    """The caller's key belongs to no team."""

    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class UnknownUrlError(GatewayError):
    """The path is not part of the API."""

    status, type, code = 404, "invalid_request_error", "unknown_url"


class BodyTooLargeError(GatewayError):
    """The body of a chat request is larger than the operator allows."""

    status, type, code = 413, "invalid_request_error", "body_too_large"


class UpstreamUnreachableError(GatewayError):
    """The upstream can't be reached, or the connection to it broke."""

    status, type, code = 502, "upstream_error", "upstream_unreachable"


class UpstreamNotConnectedError(UpstreamUnreachableError):
    """No connection came about, so that the upstream can't have begun to work."""


class UpstreamTimeoutError(GatewayError):
    """The upstream did not answer in time, or fell silent."""

    status, type, code = 504, "upstream_error", "upstream_timeout"


class InternalError(GatewayError):
    """A fault of the gateway's own; the log names its place."""

    status, type, code = 500, "gateway_error", "internal_error"
