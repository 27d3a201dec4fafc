import base64
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.destinations import UpstreamSettings
from gateway.upstreams.masking import Mask

KEY = b"sk-operator-0123456789"
LONGER = KEY + b"-longer"


async def pieces(data: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def through(mask: Mask, data: Sequence[bytes]) -> list[bytes]:
    return [piece async for piece in mask.through(pieces(data))]


def test_secrets_become_stars_of_the_same_length() -> None:
    said = b'{"message": "Bearer %b is wrong, %b"}' % (KEY, LONGER)
    masked = Mask((KEY, LONGER))(said)
    assert masked == b'{"message": "Bearer %b is wrong, %b"}' % (b"*" * len(KEY), b"*" * len(LONGER))


def test_headers_are_masked_by_their_values() -> None:
    headers = [(b"www-authenticate", b"Bearer " + KEY), (b"content-type", b"application/json")]
    assert Mask((KEY,)).headers(headers) == [(b"www-authenticate", b"Bearer " + b"*" * 22), headers[1]]


def test_without_secrets_everything_passes() -> None:
    for none in (Mask(()), Mask((b"", b"short")), Mask.of(UpstreamSettings(base_url="http://h/v1"))):
        assert none(b"short and long") == b"short and long"


@pytest.mark.parametrize("cut", range(40))
async def test_a_secret_in_two_pieces_is_found(cut: int) -> None:
    said = b"before " + KEY + b" and after it"
    found = await through(Mask((KEY, LONGER)), (said[:cut], said[cut:]))
    assert b"".join(found) == said.replace(KEY, b"*" * len(KEY))


async def test_a_secret_byte_by_byte_is_found() -> None:
    said = b"sk-operator-" + KEY + b"sk-op"
    found = await through(Mask((KEY,)), [bytes((byte,)) for byte in said])
    assert b"".join(found) == said.replace(KEY, b"*" * len(KEY))


async def test_what_can_be_no_secret_is_not_held_back() -> None:
    data = [b"plain word", b"more sk-oper", b"a", b"sk-op"]
    assert await through(Mask((KEY,)), data) == [b"plain word", b"more ", b"sk-opera", b"sk-op"]
    assert await through(Mask(()), data) == data


def test_what_is_secret_of_an_upstream() -> None:
    settings = UpstreamSettings.model_validate(
        {
            "base_url": "http://h/v1",
            "api_key": "key-of-the-upstream",
            "key_header": "api-key",
            "headers": {
                "X-Api-Token": "token-of-ours",
                "Authorization": "Basic dXNlcjpwYXNzd29yZA==",
                "X-Tenant": "visible!",
            },
            "proxy": "http://user:of-the-proxy@proxy:1",
        }
    )
    proxy = base64.b64encode(b"user:of-the-proxy")
    said = b"key-of-the-upstream token-of-ours dXNlcjpwYXNzd29yZA== visible! " + proxy
    assert Mask.of(settings)(said).split() == [b"*" * 19, b"*" * 13, b"*" * 20, b"visible!", b"*" * len(proxy)]
