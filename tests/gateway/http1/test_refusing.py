import json

import pytest

from gateway.http1.refusing import BAD_REQUEST, FAILED, HEAD_TOO_LARGE, TOO_SLOW, Refusal

ALL = {400: BAD_REQUEST, 408: TOO_SLOW, 431: HEAD_TOO_LARGE, 500: FAILED}


@pytest.mark.parametrize("status, refusal", ALL.items())
def test_a_refusal_is_a_whole_reply_in_openais_shape(status: int, refusal: Refusal) -> None:
    head, _, body = refusal.reply.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status)
    headers = dict(line.split(b": ") for line in lines)
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"connection"] == b"close"
    assert headers[b"content-type"] == b"application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("gateway_error" if status == 500 else "invalid_request_error")
    assert error["message"]
    assert error["code"]


def test_its_words_are_quoted() -> None:
    assert json.loads(Refusal.of(400, "c", 'a "b"').reply.partition(b"\r\n\r\n")[2])["error"]["message"] == 'a "b"'
