"""The scripts and how they are called."""

import hashlib
from pathlib import Path

import gateway.store
from gateway.store.redis_scripts import scripts

FOLDER = Path(gateway.store.__file__).parent / "lua"


def test_a_script_is_called_by_the_hash_of_its_text_and_in_full_where_that_is_unknown() -> None:
    own = scripts().expire
    command = own.call(("k1", "k2"), "arg", 7)
    assert command == (
        "EVALSHA",
        hashlib.sha1(own.text.encode(), usedforsecurity=False).hexdigest(),
        2,
        "k1",
        "k2",
        "arg",
        7,
    )
    assert scripts().in_full(command) == ("EVAL", own.text, 2, "k1", "k2", "arg", 7)


def test_scripts_about_a_team_begin_with_what_they_share() -> None:
    shared = (FOLDER / "counters.lua").read_text()
    found = scripts()
    assert all(each.text.startswith(shared) for each in (found.operations, found.expire, found.forget))
    assert not found.change.text.startswith(shared)


def test_every_file_is_used() -> None:
    all_ = (scripts().operations, scripts().expire, scripts().forget, scripts().change, scripts().keep)
    texts = [script.text for script in all_]
    assert [path.name for path in FOLDER.glob("*.lua") if not any(path.read_text() in text for text in texts)] == []
