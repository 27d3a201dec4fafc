import json
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import free_port
from gateway import stores
from gateway.config import Settings
from gateway.diagnosis import doctor
from gateway.diagnosis.doctor import examine
from gateway.diagnosis.finding import Finding, Level
from gateway.policies import TeamPolicy
from gateway.teams.roster import Roster
from tests.gateway.store import servers
from tests.gateway.store.cases import full_disk
from tests.upstreams import Upstream


async def found(folder: Path, **fields: Any) -> dict[str, Finding]:
    settings = Settings.model_validate({"windowing": {"mode": "off"}, **fields})
    return {finding.what: finding async for finding in examine(settings, folder / "gateway.yaml")}


async def test_all_is_well(upstream: Upstream, tmp_path: Path) -> None:
    findings = await found(
        tmp_path,
        upstreams={"main": {"base_url": upstream.url}},
        models={"gpt-4o-mini": {"upstream": "main"}},
        admin={"token": "a-token-of-sixteen"},
        teams={"acme": {"keys": ["sk-acme-01234567"]}},
    )
    bad = [finding for finding in findings.values() if finding.level is Level.ERROR]
    assert bad == []
    assert findings["model gpt-4o-mini"].said == "gpt-4o-mini by main"
    assert findings["upstream main"].level is Level.OK
    assert str(tmp_path) in findings["store"].said


async def test_what_is_wrong_is_said_with_what_to_do(upstream: Upstream, tmp_path: Path) -> None:
    findings = await found(
        tmp_path,
        upstreams={
            "main": {"base_url": upstream.url},
            "dead": {"base_url": f"http://127.0.0.1:{free_port()}/v1"},
            "refusing": {"base_url": upstream.url, "api_key": "k", "headers": {"x-behaviour": "error-401"}},
            "odd": {"base_url": upstream.url, "headers": {"x-behaviour": "not-found"}},
        },
        models={"unheard-of": {"upstream": "main"}},
        redis={"url": f"redis://127.0.0.1:{free_port()}"},
        windowing={"embedding_model": "/nonexistent"},
    )
    levels = {what: finding.level for what, finding in findings.items()}
    assert levels["upstream dead"] is levels["upstream refusing"] is levels["store"] is Level.ERROR
    assert levels["embedding model"] is Level.ERROR
    assert findings["embedding model"].said.startswith("/nonexistent can't be loaded: ")
    assert "[" not in findings["embedding model"].said
    assert levels["upstream odd"] is levels["model unheard-of"] is levels["teams"] is Level.WARNING
    assert all(finding.advice for finding in findings.values() if finding.level is not Level.OK)
    assert "price" in findings["model unheard-of"].said or "list" in findings["model unheard-of"].said


async def test_fallbacks_are_looked_at_too(upstream: Upstream, tmp_path: Path) -> None:
    models = {"gpt-4o-mini": {"upstream": "main", "fallbacks": [{"model": "unheard-of"}]}}
    findings = await found(tmp_path, upstreams={"main": {"base_url": upstream.url}}, models=models)
    assert "unheard-of" in findings["model gpt-4o-mini"].said


async def test_a_store_that_can_only_be_read_is_said(upstream: Upstream, tmp_path: Path) -> None:
    settings = Settings.model_validate({"upstreams": {"main": {"base_url": upstream.url}}})
    async with stores.opened(settings, tmp_path / "gateway.yaml") as store:
        await store.touch()
        with full_disk(tmp_path / "gateway.db"):
            findings = await found(tmp_path, upstreams={"main": {"base_url": upstream.url}})
    assert findings["store"].level is Level.ERROR
    assert findings["store"].said.startswith("SQLite can't be used: ")


@pytest.mark.parametrize(
    ("policy", "most", "level"),
    [
        ("allkeys-lru", "1gb", Level.WARNING),
        ("allkeys-lru", "0", Level.OK),
        ("volatile-lru", "1gb", Level.OK),
        ("noeviction", "1gb", Level.OK),
    ],
)
async def test_a_redis_that_throws_budgets_away_is_said(
    upstream: Upstream, tmp_path: Path, policy: str, most: str, level: Level
) -> None:
    with servers.running("--maxmemory-policy", policy, "--maxmemory", most) as server:
        findings = await found(tmp_path, upstreams={"main": {"base_url": upstream.url}}, redis={"url": server.url})
    assert findings["store"].level is level
    assert (policy in findings["store"].said) is (level is Level.WARNING)


async def test_a_redis_that_may_not_be_asked_for_its_memory_can_be_used(upstream: Upstream, tmp_path: Path) -> None:
    with servers.running("--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb") as server:
        server.ask("ACL", "SETUSER", "default", "-info")
        findings = await found(tmp_path, upstreams={"main": {"base_url": upstream.url}}, redis={"url": server.url})
    assert findings["store"].level is Level.OK


async def test_teams_in_the_store_are_teams_too(upstream: Upstream, tmp_path: Path) -> None:
    wanting = {"main": {"base_url": upstream.url, "headers": {"x-behaviour": "error-401"}}}
    before = await found(tmp_path, upstreams=wanting)
    assert before["teams"].said == "none: no key is needed"
    assert before["upstream main"] == Finding("upstream main", Level.OK, "reached; callers bring their own keys")
    settings = Settings.model_validate({"upstreams": wanting})
    async with stores.opened(settings, tmp_path / "gateway.yaml") as store:
        await Roster(settings, store).add_team("acme", TeamPolicy())
    after = await found(tmp_path, upstreams=wanting)
    assert "teams" not in after
    said = "it wants a key, and with teams no caller's is sent on"
    assert after["upstream main"] == Finding("upstream main", Level.ERROR, said, "give it an api_key")


@pytest.mark.parametrize(
    "behaviour, level", [("odd-json", Level.WARNING), ("large", Level.WARNING), ("truncated", Level.ERROR)]
)
async def test_what_answers_and_is_no_list_of_models_is_said(
    upstream: Upstream, tmp_path: Path, behaviour: str, level: Level
) -> None:
    odd = {"main": {"base_url": upstream.url, "headers": {"x-behaviour": behaviour}}}
    finding = (await found(tmp_path, upstreams=odd))["upstream main"]
    assert finding.level is level
    assert "model(s)" not in finding.said


def test_a_long_list_is_read_to_its_end() -> None:
    body = json.dumps({"data": [{"id": f"model-{n}", "description": "x" * 1000} for n in range(1000)]}).encode()
    assert doctor._names(body) == frozenset(f"model-{n}" for n in range(1000))
    assert doctor._names(body[:-1]) is None
    assert doctor._names(b"[" * 100_000) is None
    assert doctor._names(b"{}") is None


@pytest.mark.parametrize(
    ("configured", "prefix", "well"),
    [
        ("'--enable-optimizations' '--with-lto'", "/usr/local", True),  # the image's
        ("'--enable-shared' '--prefix=/usr'", "/usr", True),  # Debian's
        ("'--prefix=/root/.pyenv/versions/3.11.7' '--enable-shared'", "/root/.pyenv/versions/3.11.7", False),
        ("", "/opt/python", False),
    ],
)
async def test_a_python_without_optimizations_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str, prefix: str, well: bool
) -> None:
    assert doctor.optimized(configured, prefix) is well
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: configured)
    monkeypatch.setattr(sys, "base_prefix", prefix)
    finding = (await found(tmp_path, upstreams={"main": {"base_url": "http://127.0.0.1:1/v1"}})).get("Python")
    assert (finding is None) is well
    assert well or (
        finding and finding.level is Level.WARNING and prefix in finding.said and "PYTHON" in finding.advice
    )


async def test_a_price_of_any_model_is_one_of_a_fallback_that_nobody_names(upstream: Upstream, tmp_path: Path) -> None:
    models = {"gpt-4o-mini": {"fallbacks": [{"model": "unheard-of"}]}, "*": {"price": {"input": 1, "output": 2}}}
    findings = await found(tmp_path, upstreams={"main": {"base_url": upstream.url}}, models=models)
    assert "price" not in findings["model gpt-4o-mini"].said
