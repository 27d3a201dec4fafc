"""A gateway under such traffic that every metric of it appears, and a Prometheus that scrapes it."""

import contextlib
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.processes import Server, free_port, running, stop, wait_until
from demo import texts
from tests.deploy.files import PROMETHEUS
from tests.integration.client import chat_body, opened, send
from tests.integration.conftest import serve_command
from tests.upstreams import Upstream

CONFIG = """
upstreams:
  main: {{base_url: "{upstream}", api_key: sk-operator}}
  impatient: {{base_url: "{upstream}", api_key: sk-operator, read_timeout_s: 0.5}}
  dead: {{base_url: "http://127.0.0.1:{dead_port}/v1", breaker_failures: 2, breaker_open_s: 600}}
models:
  gpt-4o-mini: {{upstream: main}}
  gpt-impatient: {{upstream: impatient}}
  gpt-dead: {{upstream: dead}}
spending: {{reservation_s: 5}}
teams:
  acme: {{keys: [sk-acme-0123456789], budget: {{tokens: 100000, period: total, soft: [1]}}}}
  tight: {{keys: [sk-tight-0123456789], budget: {{usd: 0.000001, period: total}}}}
  brief: {{keys: [sk-brief-0123456789], budget: {{tokens: 20000, period: total, soft: [50, 80, 95]}}}}
"""
WINDOWING = "windowing: {trigger_tokens: 2000, window_tokens: 1000, deadline_ms: 20000, embedding_ms: 0}"
LONG = texts.reference("compound") + "\n\nWhen is the else clause of a while loop executed?"
_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? \S+")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class Scrape:
    """What one or more scrapes show: for each metric, the values of each label."""

    metrics: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Scrape":
        """Read Prometheus' text format."""
        found: dict[str, dict[str, set[str]]] = {}
        for line in text.splitlines():
            if sample := _SAMPLE.fullmatch(line):
                labels = found.setdefault(sample[1], defaultdict(set))
                for name, value in _LABEL.findall(sample[2] or ""):
                    labels[name].add(value)
        return cls(found)


def key(team: str) -> list[tuple[str, str]]:
    """Return the header with a team's key."""
    return [("Authorization", f"Bearer sk-{team}-0123456789"), ("Content-Type", "application/json")]


def ask(url: str, team: str = "acme", behaviour: str = "", **fields: Any) -> int:
    """Post a chat request; return the reply's status."""
    headers = [*key(team), ("x-behaviour", behaviour)]
    body = chat_body(fields.pop("content", "Say hello."), **{"max_completion_tokens": 20, **fields})
    return send(url, "POST", "/chat/completions", headers, body).status


def traffic(url: str) -> None:
    """Have one of everything happen that the gateway counts."""
    assert ask(url, content=LONG) == 200
    assert ask(url, content=LONG) == 200
    assert ask(url) == 200
    assert ask(url, stream=True) == 200
    assert ask(url, "tight") == 429
    spend(url)
    for status in (429, 500):
        assert ask(url, behaviour=f"error-{status}") == status
    assert ask(url, behaviour="too-long") == 400
    assert ask(url, behaviour="reset-before-head") == 502
    assert ask(url, model="gpt-impatient", behaviour="stall-before-head") == 504
    assert {ask(url, model="gpt-dead") for _ in range(3)} <= {502, 503}
    leave(url)


def spend(url: str) -> None:
    """Spend a budget past all its soft limits: large requests while there is room for one, then small ones."""
    for content, most in (("word " * 1900, 12), ("Hello.", 300)):
        assert any(ask(url, "brief", content=content, max_completion_tokens=1) == 429 for _ in range(most))


def leave(url: str) -> None:
    """Ask for a stream that goes on, and leave it."""
    body = chat_body(stream=True, max_completion_tokens=20)
    with opened(url, "POST", "/chat/completions", [*key("acme"), ("x-behaviour", "endless")], body) as reply:
        reply.read(10)


def leave_unsettled(config: Path) -> None:
    """Kill a gateway while a request of a team with a budget is under way; the next one on its store finds it."""
    port = free_port()
    with running(serve_command(config, port), port, "/healthz") as server:
        body = chat_body(max_completion_tokens=20)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            client = stack.enter_context(httpx.Client(timeout=1.0))
            with contextlib.suppress(httpx.TimeoutException):
                headers = {**dict(key("acme")), "x-behaviour": "stall-before-head"}
                client.post(f"{server.url}/v1/chat/completions", content=body, headers=headers)
        server.process.kill()


@contextlib.contextmanager
def observed_gateway(folder: Path, upstream: Upstream) -> Iterator[Server]:
    """A gateway that has seen everything once, with what a killed one left to it."""
    text = CONFIG.format(upstream=upstream.url, dead_port=free_port())
    (config := folder / "gateway.yaml").write_text(text + WINDOWING)
    (killed := folder / "killed.yaml").write_text(text + "windowing: {mode: 'off'}")
    leave_unsettled(killed)  # both have one store: the file beside them
    port = free_port()
    with running(serve_command(config, port), port, "/healthz") as server:
        ask(server.url + "/v1", content=LONG)  # before the model is there
        wait_until(server, "/readyz", 120)
        traffic(server.url + "/v1")
        yield server


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that scrapes a gateway."""

    url: str

    def query(self, expression: str) -> list[Mapping[str, Any]]:
        """Return an instant query's result; an error is a failed test."""
        reply = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, trust_env=False)
        answer = reply.json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        assert answer["data"]["resultType"] in ("vector", "scalar"), expression
        result: list[Mapping[str, Any]] = answer["data"]["result"]
        return result

    def rules(self) -> list[Mapping[str, Any]]:
        """Return how each rule went."""
        groups = httpx.get(f"{self.url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus on the configuration of deploy/, but with this target and three times a second."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "300ms", "evaluation_interval": "300ms", "scrape_timeout": "300ms"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    (scraped,) = config["scrape_configs"]
    scraped["static_configs"] = [{"targets": [target.removeprefix("http://")]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    program = shutil.which("prometheus")
    assert program
    options = ["--config.file", str(file), "--storage.tsdb.path", str(folder / "data"), "--log.level", "warn"]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until(server, "/-/ready", 30)
        yield Prometheus(server.url)
    finally:
        stop(process)


def wait_scraped(found: Prometheus, times: int, timeout_s: float = 20) -> None:
    """Wait until so many scrapes are there."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        result = found.query('count_over_time(up{job="context-gateway"}[1m])')
        if result and int(result[0]["value"][1]) >= times:
            return
        time.sleep(0.1)
    raise AssertionError("Prometheus does not scrape")
