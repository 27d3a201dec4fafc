import pytest

from gateway.destinations import UpstreamSettings
from gateway.effective import asking
from gateway.effective.asking import CannotAskError, ask
from gateway.upstreams.upstream import Upstream as Client
from tests.upstreams import Upstream


async def asked(upstream: Upstream, model: str, *, windowing: bool = True) -> asking.Answer:
    async with Client("gateway", UpstreamSettings(base_url=upstream.url)) as client:
        return await ask(client, model, "What is it?", windowing=windowing)


async def test_what_is_too_long_for_the_model_is_no_answer(upstream: Upstream) -> None:
    assert await asked(upstream, "behave:too-long") == asking.Answer(None)
    with pytest.raises(CannotAskError, match=r"status 400: .*Unrecognized request argument"):
        await asked(upstream, "behave:refuse-stream-options")


async def test_the_original_is_asked_for_by_a_header(upstream: Upstream) -> None:
    for windowing, sent in ((True, ""), (False, "off")):
        await asked(upstream, "behave:too-long", windowing=windowing)
        assert upstream.last.get("x-gateway-windowing") == sent


async def test_one_that_is_to_be_left_alone_is_not_asked_again(upstream: Upstream) -> None:
    with pytest.raises(CannotAskError, match="status 429"):
        await asked(upstream, "behave:error-429")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("behaviour", ["reset-before-head", "close-before-head"])
async def test_a_connection_that_breaks_is_no_end_until_it_breaks_each_time(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setattr(asking, "_WAIT_S", 0.01)
    with pytest.raises(CannotAskError, match="connection"):
        await asked(upstream, f"behave:{behaviour}")
    assert len(upstream.requests) == 4


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (b'{"choices":[{"delta":{"content":"yes"}}]}', "yes"),
        (b'{"choices":[{"delta":{"role":"assistant","content":null}},{"delta":{"content":"b"}}]}', "b"),
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', ""),
        (b'{"choices":[{"finish_reason":"stop"}]}', ""),
        (b'{"error":{"message":"no"}}', ""),
        (b"[DONE]", ""),
        (b"", ""),
    ],
)
def test_what_an_event_says(event: bytes, said: str) -> None:
    assert asking._content(asking._event_of(event)) == said
