from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.config import DEFAULT_UPSTREAM_URL, load, parse
from gateway.yaml_source import ConfigError

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
