import inspect
import json
import re
from pathlib import Path

import pytest

from gateway import errors
from gateway.errors import GatewayError, InsufficientQuotaError, RateLimitError, UpstreamOpenError

BRANCH = re.compile(r"^([| ]*)\+-- (\w+) +(?:([45]\d\d)  )?\S", re.MULTILINE)


def classes() -> dict[str, type[GatewayError]]:
    """All errors that the module holds, by name."""
    found = (value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, GatewayError))
    return {error.__name__: error for error in found}


def made(kind: type[GatewayError], said: str) -> GatewayError:
    """Return an error of the kind; some say when to come again too."""
    if issubclass(kind, UpstreamOpenError):
        return kind(said, 7.0)
    more = {"retry_after_s": 7} if issubclass(kind, InsufficientQuotaError | RateLimitError) else {}
    return kind(said, **more)


def drawn() -> dict[str, tuple[str, int | None]]:
    """The tree in the module's docstring: each error's parent and status."""
    path = {0: "GatewayError"}
    tree: dict[str, tuple[str, int | None]] = {}
    for indent, name, status in BRANCH.findall(errors.__doc__ or ""):
        depth = len(indent) // 4 + 1
        path[depth] = name
        tree[name] = (path[depth - 1], int(status) if status else None)
    return tree


def test_every_error_stands_in_the_document() -> None:
    text = (Path(__file__).parents[2] / "docs" / "headers-and-metrics.md").read_text("utf-8").partition("## Errors")[2]
    codes = {(kind.status, kind.code) for kind in classes().values() if kind.code is not None}
    assert [code for code in codes if "| {} | `{}` |".format(*code) not in text] == []


@pytest.mark.parametrize("kind", classes().values(), ids=classes().keys())
def test_every_error_has_openais_shape(kind: type[GatewayError]) -> None:
    said = 'it broke:\n"why" – nobody knows'
    found = json.loads(made(kind, said).body())
    assert found == {"error": {"message": said, "type": kind.type, "param": kind.param, "code": kind.code}}
    assert 400 <= kind.status < 600
    assert kind.type
    assert kind is GatewayError or kind.code


@pytest.mark.parametrize("kind", classes().values(), ids=classes().keys())
def test_every_error_is_one_event_of_a_stream(kind: type[GatewayError]) -> None:
    error = made(kind, "two\nlines\r\n\r\nand a third")
    event = error.sse_event()
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert len(event.splitlines()) == 2  # a message's own line ends would have ended the event early
    assert json.loads(event.removeprefix(b"data: ")) == json.loads(error.body())


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    tree, known = drawn(), classes()
    assert set(tree) | {"GatewayError"} == set(known)
    for name, (parent, status) in tree.items():
        assert known[name].__bases__ == (known[parent],), name
        assert known[name].status == (known[parent].status if status is None else status), name


def test_a_code_tells_one_kind_of_error() -> None:
    """Clients and the metric of errors go by the code; only what refines an error shares that of its parent."""
    own = [kind.code for kind in classes().values() if "code" in vars(kind) and kind.code]
    assert len(own) == len(set(own))


@pytest.mark.parametrize("kind", classes().values(), ids=classes().keys())
def test_whose_fault_it_is_shows_in_the_type(kind: type[GatewayError]) -> None:
    own = dict.fromkeys((500, 503), "gateway_error")
    if kind.__name__.startswith("Upstream"):
        own = dict.fromkeys((502, 503, 504), "upstream_error")
    limits = {"insufficient_quota": "insufficient_quota", "rate_limit_exceeded": "rate_limit_error"}
    assert kind.type == (
        limits[kind.code or ""] if kind.status == 429 else own.get(kind.status, "invalid_request_error")
    )


def test_where_events_are_numbered_it_is_an_event_of_the_responses_api() -> None:
    head, data, *rest = GatewayError("it broke").sse_event(7).split(b"\n")
    assert (head, rest) == (b"event: error", [b"", b""])
    error = json.loads(GatewayError("it broke").body())
    assert json.loads(data.removeprefix(b"data: ")) == {"type": "error", "sequence_number": 7, **error}
