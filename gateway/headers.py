"""Which headers pass, in both directions, and those that the gateway adds to its replies (RFC 9110 7.6.1).

Names are in lower case, as both connections hand them over.
"""

from collections.abc import Iterator
from decimal import Decimal

from gateway.upstreams.upstream import Headers
from gateway.windowing.types import Decision, Reason

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# The connection to the upstream has its own host, and its body is already here when the request is sent.
_REQUEST_ONLY = frozenset((b"host", b"expect"))
_CREDENTIALS = frozenset((b"authorization", b"api-key", b"x-api-key"))
_NOT_TO_UPSTREAM = _HOP_BY_HOP | _REQUEST_ONLY
_NOT_TO_UPSTREAM_OWN = _NOT_TO_UPSTREAM | _CREDENTIALS
_OWN = b"x-gateway-"


def to_upstream(headers: Headers, own: Headers, own_credentials: bool) -> Headers:
    """Return the request headers that leave; `own` are the operator's for this upstream.

    With `own_credentials` the caller's stay here, since they are the gateway's own (a team's key) or are replaced.
    """
    dropped = _dropped(headers, _NOT_TO_UPSTREAM_OWN if own_credentials else _NOT_TO_UPSTREAM)
    kept = [(k, v) for k, v in headers if k not in dropped and not k.startswith(_OWN)]
    if not own:
        return kept
    replaced = {name for name, _ in own}
    return [*((k, v) for k, v in kept if k not in replaced), *own]


def with_length(headers: Headers, length: int) -> Headers:
    """Return the headers with the length of a body that is sent whole."""
    return [*((k, v) for k, v in headers if k != b"content-length"), (b"content-length", str(length).encode())]


def to_client(headers: Headers, without: frozenset[bytes] = frozenset()) -> Headers:
    """Return the reply's headers that pass; `without` names those that a change of the body makes untrue."""
    dropped = _dropped(headers, _HOP_BY_HOP | without if without else _HOP_BY_HOP)
    return [(k, v) for k, v in headers if k not in dropped and not k.startswith(_OWN)]


def _dropped(headers: Headers, always: frozenset[bytes]) -> frozenset[bytes]:
    for name, value in headers:
        if name == b"connection":
            always = always.union(named.strip().lower() for named in value.split(b","))
    return always


def request_id(identity: str) -> Headers:
    """Return the header that every reply carries."""
    return [(b"x-gateway-request-id", identity.encode())]


def error_id(identity: str) -> Headers:
    """Return the header in which SDKs look for what to name to those who run the API, of an error of the gateway's."""
    return [(b"x-request-id", identity.encode())]


def attempts(upstream: str, count: int) -> Headers:
    """Return which upstream answered, and after how many attempts."""
    return [(b"x-gateway-upstream", upstream.encode()), (b"x-gateway-attempts", b"%d" % count)]


def confidence(value: float | None) -> Headers:
    """Return what is said of the share of the evidence that is expected inside a window."""
    return [] if value is None else [(b"x-gateway-confidence", f"{value:.2f}".encode())]


def rate_limit(kind: str, most: int, left: int, reset_s: float) -> Headers:
    """Return what OpenAI says of a rate limit; `kind` is requests or tokens."""
    said = ((b"limit", str(most)), (b"remaining", str(left)), (b"reset", f"{reset_s:.1f}s"))
    return [(b"x-ratelimit-" + name + b"-" + kind.encode(), value.encode()) for name, value in said]


def budget_warning(text: str) -> Headers:
    """Return the announcement of a soft limit."""
    return [(b"x-gateway-budget-warning", text.encode("ascii", "replace"))]


def of_windowing(
    decision: Decision,
    reason: Reason | None,
    tokens: tuple[int | None, int | None, int | None],
    saved_usd: Decimal | None,
    overhead_ms: float,
) -> Headers:
    """Return what is said of windowing; `tokens` are original, forwarded and saved."""
    return list(_windowing(decision, reason, tokens, saved_usd, overhead_ms))


def _windowing(
    decision: Decision,
    reason: Reason | None,
    tokens: tuple[int | None, int | None, int | None],
    saved_usd: Decimal | None,
    overhead_ms: float,
) -> Iterator[tuple[bytes, bytes]]:
    yield b"x-gateway-windowing", decision.encode()
    if reason is not None:
        yield b"x-gateway-reason", reason.encode()
    yield b"x-gateway-overhead-ms", b"%.2f" % overhead_ms
    if tokens[0] is None:
        return
    for name, count in zip((b"original", b"forwarded", b"saved"), tokens, strict=True):
        if count is not None:
            yield b"x-gateway-tokens-" + name, str(count).encode()
    if saved_usd is not None:
        yield b"x-gateway-cost-saved-usd", f"{saved_usd:.8f}".encode()
