from pathlib import Path

import pytest

from gateway.destinations import UpstreamSettings
from gateway.diagnosis import conformance
from gateway.diagnosis.conformance import GatewayNotStartedError, UpstreamSilentError, compared, model_of
from gateway.diagnosis.probes import Probe, probes
from tests.upstreams import Upstream

FEW = ("chat", "stream with usage", "an unknown parameter", "no messages")


def few(model: str) -> tuple[Probe, ...]:
    return tuple(probe for probe in probes(model) if probe.name in FEW)


async def test_through_the_gateway_an_upstream_is_the_same(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "probes", few)
    settings = UpstreamSettings.model_validate({"base_url": upstream.url, "api_key": "sk-checked"})
    found = [one async for one in compared(settings, "gpt-4o-mini")]
    assert [(one.probe, one.differs) for one in found] == [(name, ()) for name in FEW]
    assert [one.status for one in found] == [200, 200, 200, 400]
    assert len(upstream.requests) == 3 * len(FEW)
    assert {request.get("authorization") for request in upstream.requests} == {"Bearer sk-checked"}


async def test_a_difference_is_found(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway before it has a header of its own taken away, so that it is another upstream through it."""
    monkeypatch.setattr(conformance, "probes", few)
    own = conformance._configuration
    monkeypatch.setattr(
        conformance,
        "_configuration",
        lambda settings: own(settings.model_copy(update={"base_url": upstream.url + "/x"})),
    )
    found = [one async for one in compared(UpstreamSettings(base_url=upstream.url), "gpt-4o-mini")]
    assert any(one.differs for one in found)


async def test_a_model_is_found_where_they_are_listed(upstream: Upstream) -> None:
    assert await model_of(UpstreamSettings(base_url=upstream.url)) == "gpt-4o-mini"
    none = {"base_url": upstream.url, "headers": {"x-behaviour": "odd-json"}}
    assert await model_of(UpstreamSettings.model_validate(none)) is None
    with pytest.raises(UpstreamSilentError, match="can't be reached"):
        await model_of(UpstreamSettings(base_url="http://127.0.0.1:9/v1"))


async def test_an_upstream_that_falls_silent_is_not_waited_for(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "_MODELS_S", 0.2)
    stalled = {"base_url": upstream.url, "headers": {"x-behaviour": "stall-before-head"}}
    with pytest.raises(UpstreamSilentError, match=r"no answer in 0\.2 s"):
        await model_of(UpstreamSettings.model_validate(stalled))


async def test_where_nothing_answers_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "probes", few)
    found = [one async for one in compared(UpstreamSettings(base_url="http://127.0.0.1:9/v1"), "gpt-4o-mini")]
    assert [(one.probe, len(one.differs)) for one in found] == [(name, 1) for name in FEW]
    assert {one.differs[0].partition(":")[0] for one in found} == {"directly"}


async def test_a_gateway_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(conformance, "_configuration", lambda _: "nonsense: [")
    with pytest.raises(GatewayNotStartedError, match=r"gateway\.yaml"):
        async for _ in compared(UpstreamSettings(base_url="http://127.0.0.1:9/v1"), "m"):
            pass
