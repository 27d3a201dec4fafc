from pathlib import Path
from typing import Any

from gateway.accounts import Accounts
from gateway.config import Settings
from gateway.metrics import Metrics
from gateway.serving import Serving, serving, taken_over, upstreams_of
from gateway.windowing.pool import WindowPool


def settings(**fields: Any) -> Settings:
    return Settings.model_validate(
        {"upstreams": {"a": {"base_url": "https://a/v1"}, "b": {"base_url": "https://b/v1"}}, **fields}
    )


def made(folder: Path, found: Settings, before: Serving | None = None) -> Serving:
    accounts = Accounts(found, folder / "gateway.yaml", Metrics())
    upstreams = upstreams_of(found, before.upstreams if before else {})
    return serving(found, upstreams, accounts, WindowPool(1, 1, "no model"), lambda _: None)


def test_upstreams_of_which_nothing_changed_are_taken_over(tmp_path: Path) -> None:
    first = made(tmp_path, settings())
    changed = {
        "a": {"base_url": "https://a/v1"},
        "b": {"base_url": "https://b/v1", "weight": 2},
        "c": {"base_url": "https://c/v1"},
    }
    second = made(tmp_path, settings(upstreams=changed), first)
    assert second.upstreams["a"] is first.upstreams["a"]
    assert second.upstreams["b"] is not first.upstreams["b"]
    assert set(second.upstreams) == set(second.prices) == set(second.attempts.breakers) == {"a", "b", "c"}
    assert second.pipeline.upstreams is second.upstreams


def test_what_only_a_start_can_change_stays_and_is_named() -> None:
    old = settings()
    new = settings(
        store={"retention_days": 3},
        windowing={"processes": 2, "window_tokens": 900},
        limits={"body_mb": 2},
        ask_usage="off",
    )
    found, waiting = taken_over(new, old)
    assert waiting == ("store", "windowing.processes")
    assert (found.store, found.windowing.processes) == (old.store, old.windowing.processes)
    assert (found.windowing.window_tokens, found.limits.body_mb, found.ask_usage) == (900, 2, "off")
    assert taken_over(old, old) == (old, ())
