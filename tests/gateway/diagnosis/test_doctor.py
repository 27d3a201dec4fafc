from pathlib import Path
from typing import Any

from benchmarks.processes import free_port
from gateway.config import Settings
from gateway.diagnosis.doctor import examine
from gateway.diagnosis.finding import Finding, Level
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
    assert levels["upstream odd"] is levels["model unheard-of"] is levels["teams"] is Level.WARNING
    assert all(finding.advice for finding in findings.values() if finding.level is not Level.OK)
    assert "price" in findings["model unheard-of"].said or "list" in findings["model unheard-of"].said


async def test_fallbacks_are_looked_at_too(upstream: Upstream, tmp_path: Path) -> None:
    models = {"gpt-4o-mini": {"upstream": "main", "fallbacks": [{"model": "unheard-of"}]}}
    findings = await found(tmp_path, upstreams={"main": {"base_url": upstream.url}}, models=models)
    assert "unheard-of" in findings["model gpt-4o-mini"].said
