import openai
import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.destinations import OwnHeaders, UpstreamName, UpstreamSettings

URL = "https://api.example/v1"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "transfer-encoding",
        "Content-Length",
        "connection",
        "Keep-Alive",
        "proxy-connection",
        "Proxy-Authorization",
        "TE",
        "trailer",
        "Upgrade",
        "expect",
    ],
)
def test_what_frames_a_message_is_not_the_operators(name: str) -> None:
    with pytest.raises(ValidationError, match=f"the gateway sets {name} itself"):
        UpstreamSettings.model_validate({"base_url": URL, "headers": {name: "hidden"}})


def test_a_header_stands_there_once() -> None:
    headers = TypeAdapter(OwnHeaders)
    with pytest.raises(ValidationError, match="x-team stands here twice"):
        headers.validate_python({"X-Team": "a", "x-team": "b"})
    assert list(headers.validate_python({"X-Team": "a", "x-other": "b"})) == ["X-Team", "x-other"]


def test_a_model_may_think_longer_than_any_sdk_waits_unless_it_is_told_to() -> None:
    sdk = openai.DEFAULT_TIMEOUT.read
    assert sdk is not None
    assert UpstreamSettings(base_url=URL).read_timeout_s > 2 * sdk


@pytest.mark.parametrize(
    "style, header, good",
    [
        ("authorization", "Authorization", False),
        ("api-key", "API-Key", False),
        ("authorization", "api-key", True),
        ("api-key", "authorization", True),
    ],
)
def test_a_key_is_sent_once(style: str, header: str, good: bool) -> None:
    fields = {"base_url": URL, "api_key": "sk-hidden", "key_header": style, "headers": {header: "hidden"}}
    if good:
        assert UpstreamSettings.model_validate(fields).headers
    else:
        with pytest.raises(ValidationError, match=f"headers: {style} is how api_key is sent"):
            UpstreamSettings.model_validate(fields)
    del fields["api_key"]
    assert UpstreamSettings.model_validate(fields).headers


@pytest.mark.parametrize("name", ["", "a\nb", "a\r", "a" * 101, "\ud800", "\x7f"])
def test_an_upstreams_name_stands_in_a_header(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(UpstreamName).validate_python(name)
