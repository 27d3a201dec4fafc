import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.config import Settings
from gateway.errors import AuthenticationError
from gateway.policies import KeyPolicy, TeamPolicy, TeamSettings
from gateway.teams.keys import digest, key_id
from gateway.teams.known import Known, Source, StoredKey

MADE = "sk-cg-0123456789abcdef0123456789abcdef"
DECLARED = "sk-acme-declared"


def declared(**teams: object) -> dict[str, TeamSettings]:
    return Settings.model_validate({"upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}, "teams": teams}).teams


def key_document(key: str, team: str, **policy: object) -> dict[str, bytes]:
    stored = StoredKey.of(key, team, KeyPolicy.model_validate(policy))
    return {key_id(digest(key)): stored.model_dump_json(exclude_none=True).encode()}


def test_a_stored_key_holds_its_digest_and_its_first_characters_and_no_more_of_it() -> None:
    (document,) = key_document(MADE, "acme", name="ci", models=["gpt-4o"], expires="2030-01-01T00:00:00+02:00").values()
    fields = json.loads(document)
    assert datetime.now(UTC) - datetime.fromisoformat(fields.pop("created")) < timedelta(minutes=1)
    assert datetime.fromisoformat(fields.pop("expires")) == datetime(2029, 12, 31, 22, tzinfo=UTC)
    assert fields == {
        "digest": digest(MADE),
        "team": "acme",
        "name": "ci",
        "models": ["gpt-4o"],
        "start": "sk-cg-0123",
    }
    assert MADE[10:] not in document.decode()


def test_configuration_and_store_are_put_together() -> None:
    known = Known.of(
        declared(acme={"keys": [DECLARED], "budget": {"usd": 5}}),
        {"umbrella": b'{"models": ["gpt-4o"]}'},
        key_document(MADE, "umbrella", models=["gpt-4o", "o3"]),
    )
    assert {name: (team.source, team.keys) for name, team in known.teams.items()} == {
        "acme": (Source.CONFIGURATION, 1),
        "umbrella": (Source.STORE, 1),
    }
    acme, umbrella = (known.keyring.caller(f"Bearer {key}", 0.0) for key in (DECLARED, MADE))
    assert (acme.team, acme.policy.budgets[0].usd, acme.may_use("o3")) == ("acme", 5, True)
    assert (umbrella.team, umbrella.may_use("gpt-4o"), umbrella.may_use("o3")) == ("umbrella", True, False)
    assert umbrella.key == key_id(digest(MADE))


def test_a_declared_team_goes_before_its_namesake_in_the_store_and_has_its_keys() -> None:
    known = Known.of(
        declared(acme={"models": ["declared"]}), {"acme": b'{"models": ["stored"]}'}, key_document(MADE, "acme")
    )
    assert known.teams["acme"].source is Source.CONFIGURATION
    assert known.teams["acme"].keys == 1
    assert known.keyring.caller(f"Bearer {MADE}", 0.0).policy == TeamPolicy(models=("declared",))


def test_policies_hold_no_secrets() -> None:
    known = Known.of(declared(acme={"keys": [{"key": DECLARED, "name": "ci"}], "limits": {"concurrent": 2}}))
    assert type(known.teams["acme"].policy) is TeamPolicy
    assert known.teams["acme"].policy.limits.concurrent == 2
    (key,) = known.keys.values()
    assert (type(key.policy), key.policy.name) == (KeyPolicy, "ci")
    assert DECLARED not in repr(known)


@pytest.mark.parametrize("key, start", [("12345678", "12"), (DECLARED, "sk-a"), ("x" * 64, "x" * 10)])
def test_of_a_declared_key_at_most_a_quarter_is_shown(key: str, start: str) -> None:
    (found,) = Known.of(declared(acme={"keys": [key]})).keys.values()
    assert found.start == start


def test_expiry_comes_from_configuration_and_store_alike() -> None:
    known = Known.of(
        declared(acme={"keys": [{"key": DECLARED, "expires": "2020-01-01T00:00:00Z"}]}),
        keys=key_document(MADE, "acme", expires="2020-01-01T00:00:00Z"),
    )
    ends = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for key in (DECLARED, MADE):
        assert known.keyring.caller(f"Bearer {key}", ends - 1).team == "acme"
        with pytest.raises(AuthenticationError, match="expired"):
            known.keyring.caller(f"Bearer {key}", ends)
    assert all(key.expired for key in known.keys.values())


def test_a_key_of_a_team_that_is_gone_is_known_and_refused() -> None:
    known = Known.of({}, {"umbrella": b"{}"}, key_document(MADE, "acme"))
    assert [key.team for key in known.keys.values()] == ["acme"]
    with pytest.raises(AuthenticationError):
        known.keyring.caller(f"Bearer {MADE}", 0.0)


def test_keys_are_required_as_soon_as_there_is_a_team() -> None:
    assert not Known.of({}).keyring.required
    assert Known.of(declared(acme={})).keyring.required
    assert Known.of({}, {"acme": b"{}"}).keyring.required
    assert Known.of({}, {}, key_document(MADE, "acme")).keyring.required


@pytest.mark.parametrize("document", [b"", b"[]", b'{"budget": {"usd": "much"}}', b'{"of_a_later_release": 1}'])
def test_a_team_that_cannot_be_read_is_refused_and_named_and_disturbs_nobody(document: bytes) -> None:
    keys = {**key_document(MADE, "acme"), **key_document("sk-other-team", "umbrella"), "key_bad": b"{}"}
    known = Known.of({}, {"acme": document, "umbrella": b"{}"}, keys)
    assert known.unreadable == {"acme", "key_bad"}
    with pytest.raises(AuthenticationError):
        known.keyring.caller(f"Bearer {MADE}", 0.0)
    assert known.keyring.caller("Bearer sk-other-team", 0.0).team == "umbrella"


def test_teams_that_cannot_be_read_do_not_open_the_gateway() -> None:
    assert Known.of({}, {"acme": b"?"}).keyring.required


def test_a_key_can_be_stored_again_with_an_earlier_end() -> None:
    (key,) = Known.of({}, {}, key_document(MADE, "acme", name="ci", models=["o3"])).keys.values()
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    again = key.stored(ends).key()
    assert again.policy == KeyPolicy(name="ci", models=("o3",), expires=ends)
    assert (again.id, again.created, again.start) == (key.id, key.created, key.start)
