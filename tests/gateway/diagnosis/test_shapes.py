from dataclasses import replace

from gateway.diagnosis.shapes import Seen, differences, names_of, places_of

GOOD = Seen(200, "application/json", frozenset({"x-request-id"}), frozenset({".: object", ".id: str"}))


def test_places_name_what_stands_where_and_nothing_of_what_it_says() -> None:
    found = set(places_of({"id": "a", "n": 1, "ok": True, "none": None, "choices": [{"index": 0}, {"text": "x"}]}))
    assert found == {
        ".: object",
        ".id: str",
        ".n: number",
        ".ok: bool",
        ".choices: list",
        ".choices[]: object",
        ".choices[].index: number",
        ".choices[].text: str",
    }


def test_headers_of_the_hop_and_our_own_are_not_compared() -> None:
    sent = [(b"Date", b"x"), (b"X-Gateway-Reason", b"small"), (b"X-Request-Id", b"1"), (b"Content-Length", b"3")]
    assert names_of(sent) == {"x-request-id"}


def test_the_same_is_the_same() -> None:
    assert list(differences([GOOD, GOOD], GOOD)) == []


def test_every_difference_is_said() -> None:
    other = Seen(502, "text/plain", frozenset({"x-other"}), frozenset({".: object", ".error: object"}))
    assert list(differences([GOOD, GOOD], other)) == [
        "status: 200 directly, 502 through the gateway",
        "content type: application/json directly, text/plain through the gateway",
        "header x-request-id is missing through the gateway",
        "header x-other is there only through the gateway",
        "body .id: str is missing through the gateway",
        "body .error: object is there only through the gateway",
    ]
    ended, cut = replace(GOOD, ended=True), replace(GOOD, ended=False)
    assert list(differences([ended, ended], cut)) == ["ended: True directly, False through the gateway"]
    away = Seen(error="upstream_unreachable")
    assert next(differences([GOOD, GOOD], away)) == "error: none directly, upstream_unreachable through the gateway"


def test_what_differs_between_two_direct_answers_says_nothing() -> None:
    other = replace(GOOD, status=429, headers=frozenset({"x-once"}), places=frozenset({".: object"}))
    assert list(differences([GOOD, other], replace(GOOD, headers=frozenset({"x-once"})))) == []
