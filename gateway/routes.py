"""Which part of the API a path belongs to, and which parts a team may use."""

import re

from gateway.policies import Route
from gateway.teams.keys import Caller

_POSTED = {
    b"/v1/chat/completions": Route.CHAT,
    b"/v1/completions": Route.COMPLETIONS,
    b"/v1/responses": Route.RESPONSES,
    b"/v1/embeddings": Route.EMBEDDINGS,
}
_MODELS = b"/v1/models"
_KEPT = b"/v1/chat/completions/"  # ones that the upstream has stored
# A response by its id, which nobody guesses: looking at it, cancelling and deleting it cost nothing.
_RESPONSE = re.compile(
    rb"(?:GET|DELETE) /v1/responses/[\w-]+|GET /v1/responses/[\w-]+/input_items|POST /v1/responses/[\w-]+/cancel"
)
COUNTED = frozenset(_POSTED.values())
_NAMES = {**{route: route.value for route in Route}, Route.CHAT: "chat.completions", Route.OTHER: "relay"}


def route_of(method: str, path: bytes) -> Route:
    """Return the route of a path as it came: spelt otherwise (a slash more, an escape), it is not the counted one."""
    if method == "POST" and (found := _POSTED.get(path)) is not None:
        return found
    models = method in ("GET", "HEAD") and (path == _MODELS or path.startswith(_MODELS + b"/"))
    return Route.MODELS if models else Route.OTHER


def asks_for_work(method: str, path: bytes) -> bool:
    """Whether a request may make an upstream generate something.

    One that looks at what was made, changes or cancels it gets the usage of that again, which was counted before.
    """
    return method == "POST" and not path.startswith(_KEPT) and not path.endswith(b"/cancel")


def may_use(caller: Caller, route: Route) -> bool:
    """Whether the caller may use the route: one that is restricted, by default only what can be counted."""
    if caller.policy.routes is not None:
        return route in caller.policy.routes
    return not caller.restricted or route in COUNTED or route is Route.MODELS


def of_a_response(method: str, path: bytes) -> bool:
    """Whether a request is about one response that was made before, which belongs to the route that makes them."""
    return _RESPONSE.fullmatch(method.encode() + b" " + path) is not None


def name_of(route: Route) -> str:
    """Return the route's name in log lines and the ledger."""
    return _NAMES[route]
