from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.errors import AuthenticationError
from tests.gateway.api.operating import Operator
from tests.gateway.asgi import Call
from tests.gateway.teams.rosters import UnsteadyStore

DECLARED = "sk-declared-1234"
BUDGET = {"usd": 5.0, "period": "month", "per": "team", "soft": [50, 80], "narrow": {"80": 1000}}


async def made_key(operator: Operator, team: str, **policy: Any) -> dict[str, Any]:
    reply = await operator.send("POST", f"/teams/{team}/keys", policy or None)
    assert reply.status == 201
    assert reply.header(b"cache-control") == "no-store"
    found: dict[str, Any] = reply.json()
    return found


def refused(operator: Operator, key: str) -> bool:
    try:
        operator.gateway.team_of(key)
    except AuthenticationError:
        return True
    return False


async def test_a_team_is_made_shown_changed_and_removed(store: UnsteadyStore) -> None:
    operator = Operator(store, other={})
    policy = {"budget": BUDGET, "limits": {"requests_per_minute": 60}, "models": ["o3"], "routes": ["chat"]}
    made = await operator.send("POST", "/teams", {"name": "acme", **policy})
    assert made.status == 201
    found = made.json()
    assert (found["name"], found["source"], found["keys"]) == ("acme", "store", 0)
    assert found["budget"] == {"tokens": None, "time_zone": "UTC", "models": [], **BUDGET}
    assert (found["limits"]["requests_per_minute"], found["models"], found["routes"]) == (60, ["o3"], ["chat"])
    assert (await operator.send("GET", "/teams/acme")).json() == found
    changed = await operator.send("PUT", "/teams/acme", {"budget": [{"tokens": 1000}, {"usd": 1}]})
    assert (changed.status, [one["tokens"] for one in changed.json()["budget"]]) == (200, [1000, None])
    assert changed.json()["models"] == []
    gone = await operator.send("DELETE", "/teams/acme")
    assert (gone.status, gone.body) == (204, b"")
    assert [team["name"] for team in (await operator.send("GET", "/teams")).json()["data"]] == ["other"]


async def test_what_is_shown_of_a_policy_can_be_sent_back(store: UnsteadyStore) -> None:
    operator = Operator(store)
    made = (await operator.send("POST", "/teams", {"name": "acme", "budget": BUDGET})).json()
    policy = {field: value for field, value in made.items() if field not in ("name", "source", "keys")}
    assert (await operator.send("PUT", "/teams/acme", policy)).json() == made


async def test_a_name_is_taken_once(store: UnsteadyStore) -> None:
    operator = Operator(store, acme={})
    reply = await operator.send("POST", "/teams", {"name": "acme"})
    assert (reply.status, reply.json()["error"]["code"]) == (409, "conflict")


async def test_a_team_with_keys_and_the_last_one_go_only_when_that_is_meant(store: UnsteadyStore) -> None:
    operator = Operator(store)
    await operator.send("POST", "/teams", {"name": "acme"})
    key = (await made_key(operator, "acme"))["key"]
    for query, status in (("", 409), ("?cascade=true", 409), ("?open_to_all=true", 409)):
        assert (await operator.send("DELETE", f"/teams/acme{query}")).status == status
    assert operator.gateway.team_of(key) == "acme"
    assert (await operator.send("DELETE", "/teams/acme?cascade=true&open_to_all=true")).status == 204
    assert not operator.gateway.roster.keyring.required


async def test_a_key_works_at_once_and_is_shown_once(store: UnsteadyStore) -> None:
    operator = Operator(store, acme={})
    made = await made_key(operator, "acme", name="ci", models=["o3"], expires="2099-01-31T12:00:00Z")
    key = made.pop("key")
    assert operator.gateway.team_of(key) == "acme"
    assert datetime.now(UTC) - datetime.fromisoformat(made.pop("created")) < timedelta(minutes=1)
    expected = {"team": "acme", "name": "ci", "models": ["o3"], "expires": "2099-01-31T12:00:00Z", "expired": False}
    assert made == {"id": made["id"], **expected, "start": key[:10], "source": "store"}
    for path in ("/keys", "/teams/acme/keys"):
        reply = await operator.send("GET", path)
        assert [found["id"] for found in reply.json()["data"]] == [made["id"]]
        assert key not in reply.body.decode()


async def test_a_key_without_a_name_goes_by_its_first_characters(store: UnsteadyStore) -> None:
    made = await made_key(Operator(store, acme={}), "acme")
    assert made["name"] == made["start"] == made["key"][:10]


async def test_keys_of_the_configuration_are_listed_without_them_and_cannot_be_revoked(store: UnsteadyStore) -> None:
    operator = Operator(store, acme={"keys": [DECLARED]}, other={})
    reply = await operator.send("GET", "/keys")
    (key,) = reply.json()["data"]
    assert (key["team"], key["source"], key["created"], key["start"]) == ("acme", "configuration", None, "sk-d")
    assert DECLARED not in reply.body.decode()
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        refusal = await operator.send(method, f"/keys/{key['id']}{path}")
        assert (refusal.status, refusal.json()["error"]["code"]) == (409, "conflict")
        assert "configuration" in refusal.json()["error"]["message"]
    assert (await operator.send("GET", "/teams/other/keys")).json() == {"data": []}


async def test_a_revoked_key_is_refused_at_once(store: UnsteadyStore) -> None:
    operator = Operator(store, acme={})
    made = await made_key(operator, "acme")
    assert (await operator.send("DELETE", f"/keys/{made['id']}")).status == 204
    assert refused(operator, made["key"])
    assert (await operator.send("DELETE", f"/keys/{made['id']}")).status == 404


@pytest.mark.parametrize("body, left", [(None, 1), ({"grace_s": 0}, 1), ({"grace_s": 3600}, 2)])
async def test_a_rotated_key_is_followed_by_a_new_one(store: UnsteadyStore, body: object, left: int) -> None:
    operator = Operator(store, acme={})
    old = await made_key(operator, "acme", name="ci")
    reply = await operator.send("POST", f"/keys/{old['id']}/rotate", body)
    assert (reply.status, reply.header(b"cache-control")) == (201, "no-store")
    new = reply.json()
    assert (new["name"], new["id"] != old["id"]) == ("ci", True)
    assert operator.gateway.team_of(new["key"]) == "acme"
    assert refused(operator, old["key"]) == (left == 1)
    assert len((await operator.send("GET", "/keys")).json()["data"]) == left


@pytest.mark.parametrize(
    "path, fields, field",
    [
        ("/teams", {"name": "a", "models": ["\ud800"]}, "models.0"),
        ("/teams", {"name": "a", "budget": {"usd": 1, "models": ["\ud800"]}}, "budget.models.0"),
        ("/teams", {"name": "a", "limits": {"tokens_per_minute": 10**30}}, "limits.tokens_per_minute"),
        ("/teams", {"name": "\ud800"}, "name"),
        ("/teams/acme/keys", {"models": ["\ud800"]}, "models.0"),
        ("/teams/acme/keys", {"name": "\ud800"}, "name"),
    ],
)
async def test_what_can_not_be_kept_is_refused(
    store: UnsteadyStore, path: str, fields: dict[str, Any], field: str
) -> None:
    operator = Operator(store, acme={})
    reply = await operator.send("POST", path, fields)
    assert (reply.status, reply.json()["error"]["param"]) == (400, field)


async def test_the_api_is_documented(store: UnsteadyStore) -> None:
    document = (await Call("GET", "/admin/openapi.json").to(Operator(store).app)).json()
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "get /admin/v1/teams",
        "post /admin/v1/teams",
        "get /admin/v1/teams/{name}",
        "put /admin/v1/teams/{name}",
        "delete /admin/v1/teams/{name}",
        "get /admin/v1/teams/{name}/keys",
        "post /admin/v1/teams/{name}/keys",
        "get /admin/v1/keys",
        "post /admin/v1/keys/{key_id}/rotate",
        "delete /admin/v1/keys/{key_id}",
    }
    for operation in operations.values():
        assert operation["summary"]
        assert operation["security"] == [{"HTTPBearer": []}]
        shape = operation["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"]
        assert shape == "#/components/schemas/ErrorReply"
        assert "422" not in operation["responses"]
