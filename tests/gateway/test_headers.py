from decimal import Decimal

from gateway import headers
from gateway.windowing.types import Decision, Reason

CALLER = [
    (b"host", b"gateway"),
    (b"authorization", b"Bearer sk-caller"),
    (b"x-gateway-windowing", b"off"),
    (b"connection", b"keep-alive, X-Hop"),
    (b"x-hop", b"1"),
    (b"transfer-encoding", b"chunked"),
    (b"x-custom", b"a"),
    (b"x-custom", b"b"),
    (b"user-agent", b"sdk"),
]


def test_the_callers_headers_pass_in_order_except_those_of_the_hop() -> None:
    assert headers.to_upstream(CALLER, [], own_credentials=False) == [
        (b"authorization", b"Bearer sk-caller"),
        (b"x-custom", b"a"),
        (b"x-custom", b"b"),
        (b"user-agent", b"sdk"),
    ]


def test_credentials_are_replaced() -> None:
    own = [(b"authorization", b"Bearer sk-upstream")]
    sent = headers.to_upstream([*CALLER, (b"api-key", b"k")], own, own_credentials=True)
    assert [v for k, v in sent if k == b"authorization"] == [b"Bearer sk-upstream"]
    assert b"sk-caller" not in b"".join(v for _, v in sent)
    assert not any(k == b"api-key" for k, _ in sent)


def test_a_teams_key_never_reaches_an_upstream_without_a_key_of_its_own() -> None:
    assert not any(k == b"authorization" for k, _ in headers.to_upstream(CALLER, [], own_credentials=True))


def test_the_length_is_that_of_the_body_sent() -> None:
    sent = headers.with_length([(b"content-length", b"10"), (b"a", b"b")], 7)
    assert sent == [(b"a", b"b"), (b"content-length", b"7")]


def test_reply_headers_pass_but_not_a_second_gateways() -> None:
    reply = [(b"content-type", b"text/plain"), (b"connection", b"close"), (b"x-gateway-reason", b"small")]
    assert headers.to_client(reply) == [(b"content-type", b"text/plain")]
    packed = [(b"content-encoding", b"gzip"), (b"content-length", b"5"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert headers.to_client(packed) == packed
    assert headers.to_client(packed, frozenset((b"content-length",))) == [packed[0], *packed[2:]]


def test_what_is_not_known_is_not_said() -> None:
    said = dict(headers.of_windowing(Decision.BYPASSED, Reason.SMALL, (None, None, None), None, 1.234))
    assert said == {
        b"x-gateway-windowing": b"bypassed",
        b"x-gateway-reason": b"small",
        b"x-gateway-overhead-ms": b"1.23",
    }
    said = dict(headers.of_windowing(Decision.APPLIED, Reason.RELEVANCE, (9, 4, 5), Decimal("0.0000012"), 0))
    assert said[b"x-gateway-tokens-saved"] == b"5"
    assert said[b"x-gateway-cost-saved-usd"] == b"0.00000120"
