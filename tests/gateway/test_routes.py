import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies import BudgetSettings, RateSettings, Route, TeamPolicy
from gateway.routes import COUNTED, asks_for_work, may_use, name_of, of_a_response, route_of
from gateway.teams.keys import ANYBODY, Caller

BUDGET = TeamPolicy(budget=BudgetSettings(tokens=1))


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", b"/v1/chat/completions", Route.CHAT),
        ("POST", b"/v1/completions", Route.COMPLETIONS),
        ("POST", b"/v1/responses", Route.RESPONSES),
        ("POST", b"/v1/embeddings", Route.EMBEDDINGS),
        ("GET", b"/v1/models", Route.MODELS),
        ("HEAD", b"/v1/models", Route.MODELS),
        ("GET", b"/v1/models/gpt-4o", Route.MODELS),
        ("GET", b"/v1/models/org/model", Route.MODELS),
        ("DELETE", b"/v1/models/gpt-4o", Route.OTHER),
        ("POST", b"/v1/models", Route.OTHER),
        ("GET", b"/v1/modelsx", Route.OTHER),
        ("GET", b"/v1/chat/completions", Route.OTHER),
        ("PUT", b"/v1/chat/completions", Route.OTHER),
        ("post", b"/v1/chat/completions", Route.OTHER),
        ("POST", b"/v1/audio/transcriptions", Route.OTHER),
        ("POST", b"/v1/images/generations", Route.OTHER),
        ("POST", b"/v1/batches", Route.OTHER),
        ("POST", b"/v1/responses/compact", Route.OTHER),
    ],
)
def test_what_a_path_is(method: str, path: bytes, route: Route) -> None:
    assert route_of(method, path) is route


# Other spellings of a counted path, which an upstream may take for it.
@pytest.mark.parametrize(
    "path",
    [
        b"/v1/chat/completions/", b"/v1//chat/completions", b"//v1/chat/completions", b"/v1/chat%2Fcompletions",
        b"/v1/chat/%63ompletions", b"/v1/./chat/completions", b"/v1/x/../chat/completions", b"/v1/Chat/Completions",
        b"/v1/models/../chat/completions", b"/v1/chat/completions;x", b"/v1/chat/completions%00",
        b"/v1/engines/gpt-4o/completions", b"/v1/chat/completions\xc3\xa9",
    ],
)  # fmt: skip
def test_no_spelling_is_a_way_round(path: bytes) -> None:
    assert route_of("POST", path) is Route.OTHER
    assert not may_use(Caller("acme", "key_1", BUDGET), Route.OTHER)


@given(st.sampled_from(["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST"]), st.binary(max_size=40))
def test_any_path_that_is_none_of_the_counted_is_not_counted(method: str, path: bytes) -> None:
    assert route_of(method, b"/v1/" + path) not in COUNTED


@pytest.mark.parametrize("route", Route)
def test_who_has_no_limits_may_use_all(route: Route) -> None:
    assert may_use(ANYBODY, route)
    assert may_use(Caller("acme", "key_1", TeamPolicy()), route)


@pytest.mark.parametrize(
    "caller",
    [
        Caller("acme", "key_1", BUDGET),
        Caller("acme", "key_1", TeamPolicy(limits=RateSettings(tokens_per_minute=1))),
        Caller("acme", "key_1", TeamPolicy(limits=RateSettings(requests_per_minute=1))),
        Caller("acme", "key_1", TeamPolicy(limits=RateSettings(concurrent=1))),
        Caller("acme", "key_1", TeamPolicy(models=("gpt-4o",))),
        Caller("acme", "key_1", TeamPolicy(), models=frozenset(("gpt-4o",))),
    ],
)
def test_who_has_limits_may_use_what_can_be_counted(caller: Caller) -> None:
    assert {route for route in Route if may_use(caller, route)} == {*COUNTED, Route.MODELS}


@pytest.mark.parametrize("routes", [(), (Route.CHAT,), (Route.CHAT, Route.OTHER), tuple(Route)])
@pytest.mark.parametrize("policy", [TeamPolicy(), BUDGET])
def test_a_team_may_use_what_is_said(policy: TeamPolicy, routes: tuple[Route, ...]) -> None:
    caller = Caller("acme", "key_1", policy.model_copy(update={"routes": routes}))
    assert {route for route in Route if may_use(caller, route)} == set(routes)


def test_names_of_routes_are_their_own() -> None:
    assert [name_of(route) for route in Route] == [
        "chat.completions", "completions", "responses", "embeddings", "models", "relay"
    ]  # fmt: skip


def test_counted_routes_are_those_with_usage_of_their_own() -> None:
    assert {Route.CHAT, Route.COMPLETIONS, Route.RESPONSES, Route.EMBEDDINGS} == COUNTED


@pytest.mark.parametrize(
    ("method", "path", "asks"),
    [
        ("POST", b"/v1/chat/completions", True),
        ("POST", b"/v1/images/generations", True),
        ("POST", b"/v1/responses/compact", True),
        ("POST", b"/v1/responses/resp_1/cancel", False),
        ("POST", b"/v1/chat/completions/chatcmpl_1", False),
        ("GET", b"/v1/responses/resp_1", False),
        ("GET", b"/v1/models", False),
        ("DELETE", b"/v1/responses/resp_1", False),
    ],
)
def test_what_was_made_before_is_not_asked_for_again(method: str, path: bytes, asks: bool) -> None:
    assert asks_for_work(method, path) == asks


@pytest.mark.parametrize(
    ("method", "path", "is_one"),
    [
        ("GET", b"/v1/responses/resp_1-a", True),
        ("DELETE", b"/v1/responses/resp_1", True),
        ("GET", b"/v1/responses/resp_1/input_items", True),
        ("POST", b"/v1/responses/resp_1/cancel", True),
        ("POST", b"/v1/responses", False),
        ("GET", b"/v1/responses", False),
        ("GET", b"/v1/responses/", False),
        ("POST", b"/v1/responses/resp_1", False),
        ("POST", b"/v1/responses/compact", False),
        ("DELETE", b"/v1/responses/resp_1/cancel", False),
        ("GET", b"/v1/responses/resp_1/", False),
        ("GET", b"/v1/responses/resp_1%2F..", False),
        ("GET", b"/v1/responses/../files", False),
        ("GET", b"/v1/responses/resp_1\n", False),
        ("GET", b"/v1/chat/completions/chatcmpl_1", False),
    ],
)
def test_what_is_about_one_response(method: str, path: bytes, is_one: bool) -> None:
    assert of_a_response(method, path) == is_one
