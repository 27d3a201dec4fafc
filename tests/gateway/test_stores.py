import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings, load
from gateway.store.contract import Kind, StoreUnavailableError
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from gateway.stores import check, default_path, opened, store_of
from tests.gateway.store.cases import put

NOWHERE = {"url": "redis://127.0.0.1:1/0"}


def settings(**fields: Any) -> Settings:
    return Settings.model_validate({"upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}, **fields})


def test_which_store() -> None:
    assert isinstance(store_of(settings(), None), SqliteStore)
    assert isinstance(store_of(settings(redis=NOWHERE), None), RedisStore)


def test_the_file_lies_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_path(Path("gateway.yaml")) == tmp_path / "gateway.db"


@pytest.mark.parametrize(
    "state, folder", [("{}/state", "state"), ("", "home/.local/state"), (None, "home/.local/state")]
)
def test_without_a_configuration_it_lies_where_programs_keep_their_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str | None, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state.format(tmp_path))
    assert default_path(None) == tmp_path / folder / "context-gateway/gateway.db"


@pytest.mark.parametrize("named", [None, "elsewhere/state.db"])
async def test_what_was_written_is_in_the_file_that_is_named(tmp_path: Path, named: str | None) -> None:
    file = tmp_path / (named or "gateway.db")
    of = settings(store={"path": str(file)} if named else {})
    for known in range(2):
        async with opened(of, tmp_path / "gateway.yaml") as store:
            assert len(await store.documents(Kind.TEAM)) == known
            await put(store, Kind.TEAM, "acme", b"{}")
    assert file.is_file()


async def test_a_path_goes_from_the_configurations_folder_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "g.yaml").write_text("store: {path: data/own.db}")
    monkeypatch.chdir(tmp_path / "else")
    for config in (Path("../g.yaml"), tmp_path / "g.yaml"):
        async with opened(load(config), config) as store:
            assert len(await store.documents(Kind.TEAM)) == (config == tmp_path / "g.yaml")
            await put(store, Kind.TEAM, "acme", b"{}")
    assert (tmp_path / "data/own.db").is_file()
    assert not list((tmp_path / "else").iterdir())


async def test_a_store_is_closed_even_after_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(settings(), tmp_path / "gateway.yaml") as store:
            raise ZeroDivisionError
    with pytest.raises(StoreUnavailableError):
        await store.version()


def a_folder(file: Path) -> None:
    file.mkdir()


def some_text(file: Path) -> None:
    file.write_text("upstreams: {}\n" * 100)


def a_socket(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(file))


@pytest.mark.parametrize(
    "spoil, said", [(a_folder, "unable to open"), (some_text, "file is not a database"), (a_socket, "unable to open")]
)
def test_a_file_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, spoil: Any, said: str) -> None:
    file = tmp_path / "gateway.db"
    spoil(file)
    with pytest.raises(StoreUnavailableError) as raised:
        check(settings(), tmp_path / "gateway.yaml")
    assert str(raised.value).startswith(f"{file}: {said}")
    assert "\n" not in str(raised.value)


def test_a_file_that_can_be_used_stays_usable_and_a_redis_may_come_later(tmp_path: Path) -> None:
    for _ in range(2):
        check(settings(), tmp_path / "gateway.yaml")
    assert (tmp_path / "gateway.db").is_file()
    check(settings(redis=NOWHERE), tmp_path / "gone" / "gateway.yaml")
    assert not (tmp_path / "gone").exists()


def test_a_gateway_without_a_configuration_serves_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file" / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert default_path(None) == tmp_path / "temporary/context-gateway/gateway.db"
    check(settings(), None)
    assert default_path(None).is_file()
