"""Secrets planted everywhere one can be: nothing that anybody is told or that is kept holds one.

And wherever a caller points, a request reaches the upstreams of the configuration alone.
"""

import base64
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.processes import free_port, running
from gateway.cli import main
from tests.gateway.store import servers
from tests.integration.client import Headers, Reply, chat_body, eventually, raw, send
from tests.integration.conftest import Gateway, serve_command
from tests.upstreams import Upstream

ENVIRON = {"PLANTED_KEY": "sk-planted-env-83aa41f0c2", "PLANTED_TEAM_KEY": "sk-planted-team-env-7d20be91"}
UPSTREAM_KEY = "sk-planted-upstream-51c6d0e7ab"
HEADER = "planted-header-e19f7730cd"
PROXY = "planted-proxy-40b8a6f29e"
TOKEN = "planted-admin-token-c7715e08f3"
READER = "planted-read-token-2f9e6a01bb"
TEAM_KEY = "sk-planted-team-98e0d3b7f4"
SPENT_KEY = "sk-planted-spent-1a6cf20937"
WRONG_KEY = "sk-planted-wrong-6fd4e82b10"
REDIS = "planted-redis-b60e917d5c"
PROMPT = "planted-prompt-the-parrot-is-8d2c51"
PLANTED = [*ENVIRON.values(), UPSTREAM_KEY, HEADER, PROXY, TOKEN, READER, TEAM_KEY, SPENT_KEY, WRONG_KEY, REDIS, PROMPT]
BASIC = base64.b64encode(f"user:{PROXY}".encode()).decode()
CONFIG = f"""
upstreams:
  main: {{base_url: "%(url)s", api_key: "{UPSTREAM_KEY}"}}
  azure: {{base_url: "%(url)s", api_key: "${{PLANTED_KEY}}", key_header: api-key}}
  headed: {{base_url: "%(url)s", headers: {{X-Tenant-Token: "{HEADER}"}}}}
  proxied: {{base_url: "http://models.invalid/v1", proxy: "http://user:{PROXY}@127.0.0.1:%(dead)s"}}
  tunnelled: {{base_url: "https://models.invalid/v1", proxy: "http://user:{PROXY}@127.0.0.1:%(dead)s"}}
models:
  gpt-4o: {{upstream: azure}}
  gpt-4.1: {{upstream: headed}}
  gpt-proxied: {{upstream: proxied}}
  gpt-tunnelled: {{upstream: tunnelled}}
windowing: {{mode: "off"}}
admin: {{token: "{TOKEN}", read_token: "{READER}"}}
teams:
  acme: {{keys: ["{TEAM_KEY}", "${{PLANTED_TEAM_KEY}}"]}}
  spent: {{keys: [{{key: "{SPENT_KEY}", name: laptop}}], budget: {{tokens: 0, period: total}}}}
"""
# What each model's upstream is to be told, and nothing else.
TOLD = {
    "gpt-4o-mini": ("authorization", f"Bearer {UPSTREAM_KEY}"),
    "gpt-4o": ("api-key", ENVIRON["PLANTED_KEY"]),
    "gpt-4.1": ("x-tenant-token", HEADER),
}
CHAT = "/v1/chat/completions"
JSON: Headers = [("Content-Type", "application/json")]


def bearer(key: str) -> Headers:
    return [*JSON, ("Authorization", f"Bearer {key}")]


@dataclass(slots=True)
class Scene:
    """A gateway full of secrets, and all that was heard of it."""

    gateway: Gateway
    config: Path
    secrets: list[str] = field(default_factory=lambda: list(PLANTED))
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def call(self, method: str, path: str, headers: Headers = (), body: bytes | None = None) -> Reply:
        """Send a request, and remember what is said."""
        reply = send(self.gateway.root, method, path, headers, body)
        self.heard.append((f"{method} {path}", repr(reply.headers).encode() + reply.body))
        return reply

    def chat(self, key: str, model: str = "gpt-4o-mini", behaviour: str = "", **fields: object) -> Reply:
        """Ask a model something."""
        headers = [*bearer(key), ("api-key", key), ("x-api-key", key), ("x-behaviour", behaviour)]
        return self.call("POST", CHAT, headers, chat_body(PROMPT, model, **fields))

    def make_key(self, path: str) -> str:
        """Make a key by the admin API; the reply that shows it is not remembered."""
        reply = send(self.gateway.root, "POST", path, bearer(TOKEN), b"{}")
        assert reply.status == 201, reply.body
        made = str(reply.json()["key"])
        assert reply.body.count(made.encode()) == 1
        self.secrets.append(made)
        return made

    def cli(self, *arguments: str) -> str:
        """Run a command on the configuration, and remember what it prints."""
        done = CliRunner(env=ENVIRON).invoke(main, [*arguments, "--config", str(self.config)])
        assert isinstance(done.exception, SystemExit | None), repr(done.exception)
        self.heard.append((" ".join(arguments), done.output.encode()))
        return done.output

    def kept(self) -> dict[str, bytes]:
        """What lies on the disk: the log, the store's files."""
        files = [path for path in self.config.parent.iterdir() if path != self.config]
        return {path.name: path.read_bytes() for path in [*files, self.gateway.server.log]}

    def shown(self, since: int = 0) -> list[tuple[str, str]]:
        """Return where which secret can be read, of what was heard from there on and all that is kept."""
        places = [*self.heard[since:], *self.kept().items()]
        return [(where, secret) for where, said in places for secret in self._in(said)]

    def _in(self, said: bytes) -> Iterator[str]:
        for secret in self.secrets:
            # Its second half too: of a key made at run time the first characters may be shown.
            forms = (secret, secret[len(secret) // 2 :], base64.b64encode(secret.encode()).decode())
            if any(form.encode() in said for form in forms):
                yield secret
        if BASIC.encode() in said:
            yield PROXY


@pytest.fixture(scope="module")
def planted(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    config = tmp_path_factory.mktemp("secrets") / "gateway.yaml"
    config.write_text(CONFIG % {"url": running_upstream.url, "dead": free_port()})
    port = free_port()
    with running(serve_command(config, port), port, "/healthz", ENVIRON) as server:
        yield Scene(Gateway(server), config)


@pytest.fixture
def scene(planted: Scene, upstream: Upstream) -> Iterator[Scene]:
    """The scene; whatever a test does with it, nothing shows afterwards."""
    before = len(planted.heard)
    yield planted
    assert planted.shown(before) == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TOLD)
def test_an_upstream_is_told_its_own_secret_and_never_a_teams(
    scene: Scene, upstream: Upstream, model: str, stream: bool
) -> None:
    name, value = TOLD[model]
    for key in (TEAM_KEY, ENVIRON["PLANTED_TEAM_KEY"], scene.make_key("/admin/v1/teams/acme/keys")):
        upstream.clear()
        assert scene.chat(key, model, stream=stream).status == 200
        assert [v for k, v in upstream.last.headers if k.lower() == name.encode()] == [value.encode()]
        others = [secret for secret in scene.secrets if secret not in value + PROMPT]
        assert not [secret for secret in others if secret.encode() in upstream.last.head + upstream.last.body]


def test_errors_of_every_kind(scene: Scene, upstream: Upstream) -> None:
    team, body = bearer(TEAM_KEY), chat_body(PROMPT)
    statuses = [
        scene.call("POST", CHAT, JSON, body).status,
        scene.call("POST", CHAT, bearer(WRONG_KEY), body).status,
        scene.call("POST", CHAT, [("Authorization", f"Basic {TEAM_KEY}")], body).status,
        scene.call("POST", CHAT, bearer(TOKEN), body).status,
        scene.call("POST", CHAT, team, f'{{"messages": ["{PROMPT}'.encode()).status,
        scene.call("POST", CHAT, [*team, ("Content-Encoding", "gzip")], PROMPT.encode()).status,
        scene.call("GET", f"/elsewhere?key={TEAM_KEY}", team).status,
        scene.call("GET", f"/v1/models?key={TEAM_KEY}", JSON).status,
        scene.chat(SPENT_KEY).status,
        scene.chat(TEAM_KEY, "gpt-proxied").status,
        scene.chat(TEAM_KEY, "gpt-tunnelled").status,
    ]
    assert statuses == [401, 401, 401, 401, 400, 400, 404, 401, 429, 502, 502]
    scene.heard.append(("no HTTP", raw(scene.gateway.root, f"GET /v1/x HTTP/1.1\r\n{TEAM_KEY}\r\n\r\n".encode())))
    assert scene.heard[-1][1].startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("behaviour", ["quote-credentials", "quote-in-pieces"])
@pytest.mark.parametrize("model", TOLD)
def test_an_upstream_that_quotes_what_it_was_sent(scene: Scene, model: str, behaviour: str) -> None:
    reply = scene.chat(TEAM_KEY, model, behaviour)
    assert reply.status == 401
    assert b"********" in reply.body
    assert TOLD[model][0].encode() in reply.body.lower()
    assert int(reply.get("content-length") or len(reply.body)) == len(reply.body)


@pytest.mark.parametrize("behaviour", ["error-401", "error-500", "garbage", "reset-before-head", "half-event"])
def test_upstreams_that_fail(scene: Scene, behaviour: str) -> None:
    reply = scene.chat(TEAM_KEY, behaviour=behaviour, stream=behaviour == "half-event")
    assert reply.status in {200, 401, 500, 502}


def test_the_admin_api(scene: Scene) -> None:
    old = scene.make_key("/admin/v1/teams/acme/keys")
    found = {key["start"]: key["id"] for key in scene.call("GET", "/admin/v1/keys", bearer(TOKEN)).json()["data"]}
    scene.make_key(f"/admin/v1/keys/{found[old[:10]]}/rotate")
    described = scene.call("GET", "/admin/openapi.json").json()
    names = {"name": "acme", "team": "acme", "key_id": found[old[:10]], "request_id": "req-1"}
    paths = [path.format(**names) for path, methods in described["paths"].items() if "get" in methods]
    for path in paths:
        assert scene.call("GET", path, bearer(READER)).status in {200, 404, 503}, path


def test_the_admin_api_refuses(scene: Scene) -> None:
    for key in (TEAM_KEY, WRONG_KEY, TOKEN[:-1], ""):
        assert scene.call("GET", "/admin/v1/teams", bearer(key)).status == 401
    assert scene.call("GET", f"/admin/v1/teams?token={TOKEN}").status == 401
    assert scene.call("POST", "/admin/v1/teams", bearer(READER), b"{}").status == 403
    bad: Sequence[tuple[str, str, object]] = [
        ("POST", "/admin/v1/teams", {"name": f"{PROXY} {TOKEN}"}),
        ("POST", "/admin/v1/teams", [TEAM_KEY]),
        ("POST", "/admin/v1/teams", {"name": "x", "budget": TEAM_KEY, "routes": [TEAM_KEY], "limits": {"x": TEAM_KEY}}),
        ("PUT", "/admin/v1/teams/acme", {"budget": {"usd": TEAM_KEY, "period": TEAM_KEY, "time_zone": TEAM_KEY}}),
        ("POST", "/admin/v1/teams/acme/keys", {"key": TEAM_KEY, "expires": TEAM_KEY}),
        ("POST", "/admin/v1/keys/key_unknown/rotate", {"grace_s": TEAM_KEY}),
    ]
    for method, path, body in bad:
        assert 400 <= scene.call(method, path, bearer(TOKEN), json.dumps(body).encode()).status < 500
    assert scene.call("POST", "/admin/v1/teams", bearer(TOKEN), f'{{"name": {TEAM_KEY}'.encode()).status == 400


# Each stands in for a good value of a field that holds a secret.
MISTAKES = {
    "a list": (f'api_key: "{UPSTREAM_KEY}"', f"api_key: [{UPSTREAM_KEY}]"),
    "an alias": (f'api_key: "{UPSTREAM_KEY}"', f"api_key: *{UPSTREAM_KEY}"),
    "a tag": (f'api_key: "{UPSTREAM_KEY}"', f"api_key: !{UPSTREAM_KEY} x"),
    "a line break": (f'api_key: "{UPSTREAM_KEY}"', f'api_key: "{UPSTREAM_KEY}\\n"'),
    "no quote": (f'"{HEADER}"', f'"{HEADER}'),
    "a header": (f'X-Tenant-Token: "{HEADER}"', f'X-Tenant-Token: "{HEADER}\\r\\nx: y"'),
    "a proxy's password": (f"user:{PROXY}@", f"user:{PROXY}/x@"),
    "another": (f"user:{PROXY}@", f"user:[{PROXY}]@"),
    "a third": (f"user:{PROXY}@", f"user:{PROXY}\u2100@"),
    "a base URL": ('base_url: "http://models', f'base_url: "http://user:{PROXY}@models'),
    "a token": (f'token: "{TOKEN}"', f'token: ["{TOKEN}"]'),
    "a section": (f'{{token: "{TOKEN}", read_token: "{READER}"}}', f'"{TOKEN}"'),
    "the same token": (READER, TOKEN),
    "keys": (f'keys: ["{TEAM_KEY}", "${{PLANTED_TEAM_KEY}}"]', f'keys: "{TEAM_KEY}"'),
    "a team's key": (SPENT_KEY, TEAM_KEY),
    "elsewhere": ("period: total", 'period: "${PLANTED_KEY}"'),
    "redis": ("windowing:", f'redis: {{url: "redis://:{REDIS}/x@127.0.0.1:1"}}\nwindowing:'),
    "redis' options": ("windowing:", f'redis: {{url: "redis+x://:{REDIS}@127.0.0.1:1"}}\nwindowing:'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_where_secrets_stand(scene: Scene, mistake: str) -> None:
    good = scene.config.read_text(encoding="utf-8")
    old, new = MISTAKES[mistake]
    assert old in good
    scene.config.write_text(good.replace(old, new), encoding="utf-8")
    try:
        checked = CliRunner(env=ENVIRON).invoke(main, ["config", "check", str(scene.config)])
        reloaded = scene.call("POST", "/admin/v1/reload", bearer(TOKEN))
    finally:
        scene.config.write_text(good, encoding="utf-8")
    scene.heard.append((f"config check: {mistake}", checked.output.encode()))
    assert checked.exit_code == 2
    assert checked.output.startswith(f"{scene.config}:")
    assert reloaded.status == 400


def test_the_command_line(scene: Scene) -> None:
    made = CliRunner(env=ENVIRON).invoke(main, ["keys", "add", "acme", "--quiet", "--config", str(scene.config)])
    scene.secrets.append(made.output.strip())
    assert len(made.output.strip()) > 30
    for command in (("teams", "list"), ("teams", "show", "acme"), ("keys", "list"), ("report",)):
        for more in ((), ("--json",)):
            assert "acme" in scene.cli(*command, *more) or command == ("report",)
    assert "laptop" in scene.cli("keys", "list")
    for form in ("csv", "html"):
        scene.cli("report", "--group-by", "team,key,user,model,upstream", "--format", form)
    assert "upstream proxied" in scene.cli("doctor")


def test_what_is_kept_and_logged(scene: Scene) -> None:
    """The places that are searched are those where secrets would be: what belongs there is found."""
    request = scene.chat(TEAM_KEY, user="somebody").get("x-gateway-request-id")
    assert scene.gateway.wait_logged(request)["user"] == "somebody"
    assert eventually(
        lambda: any(request.encode() in data for name, data in scene.kept().items() if "gateway.db" in name)
    )
    for path in (scene.config.parent / "gateway.db", scene.config.parent / "gateway.db-wal"):
        assert path.stat().st_mode & 0o077 == 0
    assert b"gen_ai_server_request_duration_seconds_count" in scene.call("GET", "/metrics").body
    assert "Traceback" not in scene.gateway.server.log.read_text()
    scene.secrets.append("somebody")
    assert {Path(where).suffix for where, secret in scene.shown() if secret == "somebody"} >= {".log"}
    scene.secrets.remove("somebody")


def test_a_redis_whose_password_is_wrong(planted: Scene, tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    port = free_port()
    with servers.running() as redis:
        redis.ask("CONFIG", "SET", "requirepass", f"{REDIS}-right")
        url = redis.url.replace("127.0.0.1", f":{REDIS}@127.0.0.1")
        config.write_text(f'{planted.config.read_text()}\nredis: {{url: "{url}"}}\n')
        with running(serve_command(config, port), port, "/healthz", ENVIRON) as server:
            scene = Scene(Gateway(server), config)
            assert scene.chat(SPENT_KEY).status == 503
            assert scene.call("GET", "/admin/v1/teams/spent/budgets", bearer(TOKEN)).status == 503
            assert "the store can't be used" in scene.cli("keys", "list")
            assert "AuthenticationError" in scene.cli("doctor")
            assert eventually(lambda: b"AuthenticationError" in scene.kept()["output.log"])
            assert scene.shown() == []


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """An address of nobody's upstream, where nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


HOST_HEADERS = (
    "Host", "X-Forwarded-Host", "X-Host", "X-Original-URL", "X-Rewrite-URL", "X-Upstream", "X-Base-URL", "Api-Base",
    "X-Portkey-Custom-Host", "Helicone-Target-URL", "X-Gateway-Upstream", "X-Gateway-Base-URL", "Forwarded", "Via",
    "OpenAI-Base-URL", "Destination", "Location", "Referer", "Origin",
)  # fmt: skip
TARGETS = (
    "http://{trap}/v1/chat/completions", "https://{trap}/v1/x", "http://user@{trap}/v1/models", "//{trap}/v1/x",
    "///{trap}/v1", "/v1//{trap}/x", "/v1/@{trap}/x", "@{trap}/v1/x", ":@{trap}/v1/x", "/v1@{trap}/x", "v1/{trap}",
    "/v1/..//{trap}/", "/v1/%2e%2e/%2e%2e//{trap}/x", "/v1/%2F%2F{trap}/x", "/v1/..%2f..%2f{trap}", "/v1/\\{trap}/x",
    "/v1/\\\\{trap}\\x", "/v1/x?url=http://{trap}/", "/v1/models#@{trap}/", "/v1/x;@{trap}/", "/v1/http://{trap}/x",
    "/v1/%40{trap}/x", "*", "/v1/x\t@{trap}", "/v1/%0d%0aHost:%20{trap}/x", "/v1/%00@{trap}/x", "/\\{trap}/v1/x",
)  # fmt: skip
FIELDS = ("base_url", "api_base", "host", "endpoint", "upstream", "custom_llm_provider", "extra_body", "fallbacks")


def address(trap: socket.socket) -> str:
    return f"127.0.0.1:{trap.getsockname()[1]}"


def assert_only_ours(upstream: Upstream, status: int) -> None:
    """Assert that the request reached the configured upstream, or that it was refused."""
    ours = upstream.url.removeprefix("http://").removesuffix("/v1")
    assert [request.get("host") for request in upstream.requests] == ([ours] if status < 400 else [])
    assert all(request.target.startswith("/v1/") for request in upstream.requests)


@pytest.mark.parametrize("form", ["http://{}/v1", "{}", "host={}"])
@pytest.mark.parametrize("name", HOST_HEADERS)
def test_no_header_names_the_upstream(
    scene: Scene, upstream: Upstream, trap: socket.socket, name: str, form: str
) -> None:
    value = form.format(address(trap))
    lines = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n" if name != "Host" else f"POST {CHAT} HTTP/1.1\r\n"
    body = chat_body(PROMPT)
    head = f"{lines}{name}: {value}\r\nAuthorization: Bearer {TEAM_KEY}\r\nConnection: close\r\n"
    reply = raw(scene.gateway.root, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert_only_ours(upstream, 200)


@pytest.mark.parametrize("method", ["POST", "GET", "CONNECT"])
@pytest.mark.parametrize("target", TARGETS)
def test_no_target_names_the_upstream(
    scene: Scene, upstream: Upstream, trap: socket.socket, target: str, method: str
) -> None:
    said = f"{method} {target.format(trap=address(trap))} HTTP/1.1\r\nHost: {address(trap)}\r\n"
    more = f"Authorization: Bearer {TEAM_KEY}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    reply = raw(scene.gateway.root, (said + more).encode())
    assert_only_ours(upstream, int(reply[9:12]))


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_names_the_upstream(scene: Scene, upstream: Upstream, trap: socket.socket, name: str) -> None:
    url = f"http://{address(trap)}/v1"
    for value in (url, [url], {"base_url": url, "upstream": url}):
        upstream.clear()
        fields: dict[str, Any] = {name: value}
        assert scene.chat(TEAM_KEY, **fields).status == 200
        assert_only_ours(upstream, 200)


def test_no_model_names_the_upstream_and_no_image_is_fetched(
    scene: Scene, upstream: Upstream, trap: socket.socket
) -> None:
    for model in ("http://{}/v1", "openai/http://{}/v1", "main@{}", "../{}", "azure"):
        upstream.clear()
        assert scene.chat(TEAM_KEY, model.format(address(trap))).status == 200
        assert_only_ours(upstream, 200)
    upstream.clear()
    parts = [
        {"type": "image_url", "image_url": {"url": f"http://{address(trap)}/x.png"}},
        {"type": "text", "text": "?"},
    ]
    assert scene.call("POST", CHAT, bearer(TEAM_KEY), chat_body(parts)).status == 200
    assert_only_ours(upstream, 200)


def test_a_redirect_is_not_followed(scene: Scene, upstream: Upstream) -> None:
    reply = scene.chat(TEAM_KEY, behaviour="redirect")
    assert (reply.status, reply.get("location")) == (307, "http://127.0.0.1:1/elsewhere")
    assert len(upstream.requests) == 1
