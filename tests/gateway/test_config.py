import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.app import create_app
from gateway.config import DEFAULT_UPSTREAM_URL, Settings, load, parse
from gateway.yaml_source import ConfigError
from tests.gateway.asgi import JSON, Call, started
from tests.integration.client import chat_body
from tests.upstreams import Upstream

ENVIRON = {"UPSTREAM_KEY": "sk-upstream-secret", "ADMIN_TOKEN": "token-0123456789"}
FULL = """\
upstreams:
  main: {base_url: "http://127.0.0.1:9900/v1", api_key: "${UPSTREAM_KEY}"}
models:
  gpt-4o-mini: {upstream: main}            # any other model goes to the first upstream
windowing: {mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 1500}   # mode: on | shadow | off
teams:
  acme: {keys: ["sk-acme-0123456789abcdef"], budget: {usd: 5.00, period: month}}
admin: {token: "${ADMIN_TOKEN}"}
redis: {url: "redis://127.0.0.1:6379/0"}
"""


def mistake(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "gw.yaml", ENVIRON)
    return str(caught.value)


def test_the_documented_shape_is_read() -> None:
    settings = parse(FULL, "gw.yaml", ENVIRON)
    assert settings.upstreams["main"].api_key == SecretStr("sk-upstream-secret")
    assert settings.first_upstream == "main"
    assert settings.windowing.deadline_ms == 1500
    budget = settings.teams["acme"].budget
    assert not isinstance(budget, tuple)
    assert budget is not None
    assert budget.usd == 5.0


def test_budgets_may_be_a_list() -> None:
    text = FULL.replace("{usd: 5.00, period: month}", "[{usd: 5}, {tokens: 1000, period: day}]")
    budget = parse(text, "gw.yaml", ENVIRON).teams["acme"].budget
    assert isinstance(budget, tuple)
    assert [b.period for b in budget] == ["month", "day"]


@pytest.mark.parametrize(("bare", "mode"), [("on", "on"), ("off", "off"), ("shadow", "shadow"), ("yes", "on")])
def test_yaml_switches_are_words(bare: str, mode: str) -> None:
    assert parse(FULL.replace('"on"', bare), "gw.yaml", ENVIRON).windowing.mode == mode


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "trigger_tokens: 4000",
            "trigger_tokens: many",
            "gw.yaml:5: windowing.trigger_tokens: expected a valid integer",
        ),
        ("window_tokens: 2000", "windw: 3", "gw.yaml:5: windowing.windw: unknown field"),
        ("usd: 5.00", "usd: 5, tokens: 3", "gw.yaml:7: teams.acme.budget: expected either usd or tokens"),
        ("period: month", "period: year", "gw.yaml:7: teams.acme.budget.period: expected 'hour', 'day'"),
        ("{upstream: main}", "{upstream: nope}", "gw.yaml:4: models.gpt-4o-mini.upstream: expected the name of an ups"),
        ('base_url: "http://127.0.0.1:9900/v1", ', "", "gw.yaml:2: upstreams.main.base_url: missing"),
        ("http://127.0.0.1:9900/v1", "ftp://x", "gw.yaml:2: upstreams.main.base_url: expected a URL such as https"),
        ('"on"', "sometimes", "gw.yaml:5: windowing.mode: expected 'on', 'shadow' or 'off'"),
        ("admin:", "teams: {}\nadmin:", "gw.yaml:6: teams: stands here twice"),
        ("acme: {keys:", "acme: {keys: [", "gw.yaml:7: not valid YAML"),
        ("sk-acme-0123456789abcdef", "short", "gw.yaml:7: teams.acme: expected keys of 8 characters or more"),
        ("${UPSTREAM_KEY}", "${NOT_SET}", "gw.yaml:2: ${NOT_SET} is not set in the environment"),
        ("deadline_ms: 1500", "deadline_ms: 0", "gw.yaml:5: windowing.deadline_ms: expected"),
        ('{token: "${ADMIN_TOKEN}"}', "{read_token: short}", "gw.yaml:8: admin: expected a token of 16 characters"),
        (
            "{token:",
            '{listen: "127.0.0.1:99999", token:',
            "gw.yaml:8: admin.listen: expected a port between 1 and 65535",
        ),
        (
            '{token: "${ADMIN_TOKEN}"}',
            "{read_token: 0123456789abcdef}",
            "gw.yaml:8: admin: read_token: expected a token",
        ),
        (
            '"${ADMIN_TOKEN}"}',
            '"${ADMIN_TOKEN}", read_token: "${ADMIN_TOKEN}"}',
            "gw.yaml:8: admin: read_token: expected a token beside it, and another one",
        ),
        ("main: {base", '"a\\nb": {base', "gw.yaml:2: upstreams.'a\\nb': expected a name without line breaks"),
        ("acme: {keys", "a b: {keys", "gw.yaml:7: teams.a b: expected a name of 1 to 64 letters"),
        ("admin:", "limits: {body_mb: .inf}\nadmin:", "gw.yaml:8: limits.body_mb: expected a finite number"),
        ("usd: 5.00", "usd: .nan", "gw.yaml:7: teams.acme.budget.usd: expected a finite number"),
        ("/0", "/staging", "gw.yaml:9: redis.url: expected the number of a database"),
        ('api_key: "$', 'headers: {Host: x}, api_key: "$', "gw.yaml:2: upstreams.main.headers.Host: the gateway sets"),
        ("admin:", 'store: {path: "a\\0"}\nadmin:', "gw.yaml:8: store.path: expected a path without a NUL"),
    ],
)
def test_every_mistake_is_named_with_line_and_field(old: str, new: str, message: str) -> None:
    assert old in FULL
    assert message in mistake(FULL.replace(old, new))


def test_two_mistakes_are_both_named() -> None:
    text = FULL.replace("4000", "many").replace("period: month", "period: year")
    assert len(mistake(text).splitlines()) == 2


def test_two_teams_can_not_share_a_key() -> None:
    text = FULL.replace("admin:", '  other: {keys: ["sk-acme-0123456789abcdef"]}\nadmin:')
    assert "gw.yaml:8: teams.other.keys.0: another team has the same key" in mistake(text)


@pytest.mark.parametrize("text", ["", "- a", "5", "a: &x [*x]", "\x00", "upstreams: {}"])
def test_texts_that_are_no_configuration(text: str) -> None:
    assert mistake(text).startswith("gw.yaml")


def test_no_message_shows_a_secret() -> None:
    message = mistake(FULL.replace("sk-acme-0123456789abcdef", "${UPSTREAM_KEY}").replace('"on"', '"${ADMIN_TOKEN}"'))
    assert "secret" not in message
    assert "token-0123456789" not in message


@pytest.mark.parametrize("name", ["api_key", "headers"])
def test_a_secret_that_would_end_a_header_is_refused_without_being_shown(name: str) -> None:
    new = 'api_key: "hidden\\n"' if name == "api_key" else 'headers: {x-key: "hidden\\r\\nx: y"}'
    message = mistake(FULL.replace('api_key: "${UPSTREAM_KEY}"', new))
    assert message.startswith(f"gw.yaml:2: upstreams.main.{name}")
    assert message.endswith("it holds a line break or another control character")


def test_what_is_shown_of_the_settings_holds_no_secret() -> None:
    text = FULL.replace("127.0.0.1:6379", ":redis-secret@127.0.0.1:6379")
    shown = repr(parse(text.replace("api_key:", 'proxy: "http://u:proxy-secret@p:1", api_key:'), "gw.yaml", ENVIRON))
    assert not [planted for planted in ("secret", "token-0123456789", "sk-acme") if planted in shown]


def test_without_a_file_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTEXT_GATEWAY_UPSTREAM_URL", raising=False)
    assert load(None).upstreams["default"].base_url == DEFAULT_UPSTREAM_URL
    monkeypatch.setenv("CONTEXT_GATEWAY_UPSTREAM_URL", "http://127.0.0.1:1/v1/")
    monkeypatch.setenv("CONTEXT_GATEWAY_UPSTREAM_KEY", "sk-env")
    upstream = load(None).upstreams["default"]
    assert upstream.base_url == "http://127.0.0.1:1/v1"
    assert upstream.api_key == SecretStr("sk-env")
    monkeypatch.setenv("CONTEXT_GATEWAY_UPSTREAM_URL", "nonsense")
    with pytest.raises(ConfigError, match="CONTEXT_GATEWAY_UPSTREAM_URL: expected a URL"):
        load(None)


def test_without_a_file_traces_go_where_the_standard_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert load(None).telemetry is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    assert parse("windowing: {mode: off}", "gw.yaml", ENVIRON).telemetry is None  # what a file says holds
    found = load(None).telemetry
    assert found is not None
    assert (found.otlp_endpoint, found.service_name, found.sample) == ("http://collector:4318", "context-gateway", 1.0)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "house")
    assert (load(None).telemetry or found).service_name == "house"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL"):
        load(None)


def test_telemetry_is_checked_and_its_headers_are_masked() -> None:
    text = "telemetry: {otlp_endpoint: http://c:4318, headers: {Authorization: planted-secret}, sample: 0.1}"
    found = parse(text, "gw.yaml", ENVIRON).telemetry
    assert found is not None
    assert found.sample == 0.1
    assert "planted-secret" not in repr(found)
    for wrong in ("telemetry: {}", "telemetry: {otlp_endpoint: c}", text.replace("0.1", "2")):
        with pytest.raises(ConfigError, match=r"gw\.yaml:1: telemetry"):
            parse(wrong, "gw.yaml", ENVIRON)


def test_a_file_without_upstreams_takes_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT_GATEWAY_UPSTREAM_URL", "http://127.0.0.1:1/v1")
    settings = parse("windowing: {mode: off}", "gw.yaml", ENVIRON)
    assert settings.upstreams["default"].base_url == "http://127.0.0.1:1/v1"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ConfigError, match="expected UTF-8"):
        load(binary)


def test_paths_go_from_the_files_folder_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    (tmp_path / "gw.yaml").write_text(
        "upstreams: {main: {base_url: http://h/v1, ca_file: ca.pem}}\n"
        "store: {path: data/own.db}\nwindowing: {embedding_model: ./model}"
    )
    monkeypatch.chdir(tmp_path / "else")
    for name in (tmp_path / "gw.yaml", Path("../gw.yaml")):
        found = load(name)
        paths = found.upstreams["main"].ca_file, found.store.path, Path(found.windowing.embedding_model)
        assert paths == (tmp_path / "ca.pem", tmp_path / "data/own.db", tmp_path / "model")


def numbers(schema: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every number that the schema speaks of, with its place."""
    if isinstance(schema, dict):
        if schema.get("type") in ("number", "integer"):
            yield place, schema
        schema = schema.items()
    elif isinstance(schema, list):
        schema = enumerate(schema)
    else:
        return
    for name, inner in schema:
        yield from numbers(inner, f"{place}/{name}")


def test_every_number_has_bounds() -> None:
    schema = dict(numbers(Settings.model_json_schema(), ""))
    assert len(schema) > 40
    bounds = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
    assert not [place for place, found in schema.items() if not all(any(n in found for n in names) for names in bounds)]


def extreme(schema: Mapping[str, Any], whole: Mapping[str, Any], largest: bool) -> Any:
    """Return the schema's sections with every number at one of its ends; None where there is no number."""
    if "$ref" in schema:
        return extreme(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, largest)
    for branch in schema.get("anyOf", schema.get("oneOf", ())):
        if (found := extreme(branch, whole, largest)) is not None:
            return found
    if schema.get("type") in ("number", "integer"):
        step = 1 if schema["type"] == "integer" else 1e-9
        if largest:
            return schema["maximum"] if "maximum" in schema else schema["exclusiveMaximum"] - step
        return schema["minimum"] if "minimum" in schema else schema["exclusiveMinimum"] + step
    found = {name: extreme(inner, whole, largest) for name, inner in schema.get("properties", {}).items()}
    return {name: value for name, value in found.items() if value is not None} or None


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("key", ["sk-unlimited", "sk-budgeted"])
async def test_what_is_good_serves_requests(upstream: Upstream, tmp_path: Path, largest: bool, key: str) -> None:
    """Every number at its end: a request succeeds, or is refused for a reason of its own."""
    schema = Settings.model_json_schema()
    sections = extreme(schema, schema, largest)
    of = {name: extreme(schema["$defs"][name], schema, largest) for name in ("ModelSettings", "TeamSettings")}
    upstreams = {"main": {**extreme(schema["$defs"]["UpstreamSettings"], schema, largest), "base_url": upstream.url}}
    del (
        of["TeamSettings"]["budget"]["tokens"],
        sections["redis"],
        sections["telemetry"],
        sections["windowing"]["processes"],
    )
    teams = {"free": {"keys": ["sk-unlimited"]}, "acme": {**of["TeamSettings"], "keys": ["sk-budgeted"]}}
    sections["windowing"]["mode"] = "off"
    settings = Settings.model_validate(
        {
            **sections,
            "store": {**sections["store"], "path": tmp_path / "gateway.db"},
            "upstreams": upstreams,
            "teams": teams,
            "models": {"gpt-4o-mini": of["ModelSettings"]},
        }
    )
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        app = create_app(settings)
        async with started(app):
            call = Call("POST", "/v1/chat/completions", chat_body(), JSON, (b"authorization", f"Bearer {key}".encode()))
            await call.to(app)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert call.status == 200 or call.json()["error"]["code"] not in (None, "internal_error"), call.body
    if largest and key == "sk-unlimited":
        assert call.status == 200


@given(st.sampled_from(["4000", "main}", "gpt-4o-mini", "5.00", "month", '"${ADMIN_TOKEN}"', "acme"]), st.text())
def test_whatever_a_file_holds_it_is_good_or_its_mistakes_are_named(old: str, new: str) -> None:
    assert old in FULL
    with suppress(ConfigError):
        parse(FULL.replace(old, new), "gw.yaml", ENVIRON)
