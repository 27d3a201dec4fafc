import pytest

from gateway.usage import Usage, usage_of_reply


def test_every_part_is_read() -> None:
    reply = (
        b'{"id": 1, "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,'
        b' "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 12}}}'
    )
    assert usage_of_reply(reply) == Usage(100, 20, cached=64, reasoning=12)


def test_missing_parts_are_none_of_them() -> None:
    assert usage_of_reply(b'{"usage": {"prompt_tokens": 5, "prompt_tokens_details": null}}') == Usage(5, 0)


@pytest.mark.parametrize(
    "reply",
    [b"", b"null", b"[]", b"{}", b'{"usage": null}', b'{"usage": {"prompt_tokens": true}}', b"\xff", b"[" * 9999],
)
def test_what_is_no_usage_is_unknown(reply: bytes) -> None:
    assert usage_of_reply(reply) is None
