"""Settings: a YAML file checked field by field with the line of every mistake, or the environment alone."""

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.addresses import http_url, listening, model_name, placed, store_url
from gateway.destinations import HeaderSecret, TelemetrySettings, UpstreamName, UpstreamSettings
from gateway.policies import MODES, ModelName, Section, TeamName, TeamSettings, Tokens, WindowTokens, yaml_switch
from gateway.yaml_source import ConfigError, YamlSource

# Workers are processes of their own; these variables tell them what the command line said.
DRAIN_VARIABLE = "CONTEXT_GATEWAY_DRAIN_S"
SUPERVISOR_VARIABLE = "CONTEXT_GATEWAY_SUPERVISOR"  # its process' number
WORKERS_VARIABLE = "CONTEXT_GATEWAY_WORKERS"  # how many there are
METRICS_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DEFAULT_UPSTREAM_URL = "https://api.openai.com/v1"
DEFAULT_EMBEDDING_MODEL = "all-MiniLM-L6-v2"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, which nobody else reaches."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


Price = Annotated[float, Field(ge=0, le=1_000_000)]


class PriceSettings(Section):
    """A model's price in USD for a million tokens."""

    input: Price
    output: Price
    cached_input: Price | None = Field(None, description="read from a prompt cache; unset: as input")
    cache_write: Price | None = Field(None, description="written to a prompt cache; unset: as input")


class FallbackSettings(Section):
    """Another upstream, another model, or both."""

    upstream: str | None = Field(None, description="unset: the model's first")
    model: ModelName | None = Field(None, description="unset: the one that was asked for")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.upstream is None and self.model is None:
            raise ValueError("expected an upstream, a model or both")
        return self


class ModelSettings(Section):
    """Where a model is served; the name "*" stands for all that are not listed."""

    upstream: str | None = None
    upstreams: tuple[str, ...] = Field((), description="several that serve it, each with its share of the requests")
    fallbacks: tuple[FallbackSettings, ...] = Field(
        (), description="tried in this order where those fail, or where the prompt is too long for the model"
    )
    price: PriceSettings | None = Field(None, description="instead of the list price, or where there is none")
    max_output_tokens: Tokens | None = Field(None, description="most it can answer with; unset: what is known of it")


class RetrySettings(Section):
    """What is done when an upstream fails; other upstreams of a model, and its fallbacks, are always tried."""

    attempts: int = Field(
        0, ge=0, le=10, description="further attempts at the same upstream, on 429, 5xx, no connection"
    )
    backoff_s: float = Field(0.5, gt=0, le=60, description="longest wait before the first of them, doubled each time")
    longest_wait_s: float = Field(8.0, gt=0, le=300, description="an upstream that asks for more is not asked again")
    after_sent: bool = Field(
        False, description="true: also when the connection broke or the time ran out, which may be billed twice"
    )


class WindowingSettings(Section):
    """When and how far oversized prompts are trimmed; sizes in tokens of the request's model."""

    mode: Annotated[MODES, BeforeValidator(yaml_switch)] = "on"
    trigger_tokens: Tokens = Field(4000, description="prompts above this size are windowed")
    window_tokens: WindowTokens = Field(2000, description="retrieved text that is kept, beside what is protected")
    min_window_tokens: WindowTokens = Field(500, description="smallest elastic window, smallest size a caller gets")
    max_window_tokens: WindowTokens = Field(16000, description="largest elastic window, largest size a caller gets")
    target_confidence: float | None = Field(
        None, gt=0, lt=1, description="elastic windows: as small as holds this share of the evidence, by estimate"
    )
    deadline_ms: int = Field(1500, ge=10, le=600_000, description="past this the original is forwarded")
    processes: int = Field(1, ge=1, le=64, description="windowing processes of each worker")
    queue: int = Field(8, ge=1, le=10_000, description="requests that may wait for windowing, per process")
    embedding_ms: int | None = Field(
        None,
        ge=0,
        le=600_000,
        description="time for embedding on a request's path; unset: a quarter of what ranking took",
    )
    embedding_model: Annotated[str, AfterValidator(model_name)] = Field(
        DEFAULT_EMBEDDING_MODEL, description="installed name, local path or hub id"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_window_tokens > self.max_window_tokens:
            raise ValueError("min_window_tokens is larger than max_window_tokens")
        return self


class AdminSettings(Section):
    """Access to the admin API; without a token only this machine has it."""

    token: SecretStr | None = None
    read_token: SecretStr | None = Field(None, description="lets into all that changes nothing, and into the console")
    enabled: bool = Field(True, description="false: no admin API, and no token needed to listen on any address")
    listen: Annotated[str, AfterValidator(listening)] | None = Field(
        None, description="host:port of its own for the admin API, which the other address then does not serve"
    )

    @model_validator(mode="after")
    def _tokens_are_good(self) -> Self:
        for token in (self.token, self.read_token):
            if token is not None and len(token.get_secret_value()) < 16:
                raise ValueError("expected a token of 16 characters or more")
        if self.read_token is not None and self.token in (None, self.read_token):
            raise ValueError("read_token: expected a token beside it, and another one")
        return self


class RedisSettings(Section):
    """Shared state of several replicas."""

    url: Annotated[SecretStr, AfterValidator(store_url)]
    timeout_ms: int = Field(50, ge=1, le=60_000, description="longest wait for an answer")
    replicas: int = Field(
        2,
        ge=1,
        le=10_000,
        description="gateways that share a budget's rest while the store is away; their workers share theirs",
    )


class StoreSettings(Section):
    """Where teams, budgets and the ledger are kept."""

    path: Annotated[Path, AfterValidator(placed)] | None = Field(
        None, description="SQLite file, from the configuration's folder on; unset: gateway.db there"
    )
    durability: Literal["process", "power"] = Field(
        "process", description="what a reservation outlives: the death of the process, or a power cut too (slower)"
    )
    ledger: Annotated[Literal["on", "off"], BeforeValidator(yaml_switch)] = Field(
        "on", description="off: only requests of callers with limits are written to the ledger"
    )
    retention_days: int = Field(90, ge=1, le=36_500, description="age at which ledger entries are forgotten")
    receipts: int = Field(
        5000, ge=0, le=1_000_000, description="latest requests of which more is kept than an entry; 0: none"
    )


class SpendingSettings(Section):
    """How much a request is taken to cost before it is sent."""

    output_tokens: Tokens | None = Field(
        None, description="estimate where the caller names no limit; unset: the model's output limit"
    )
    reservation_s: float = Field(60.0, ge=5, le=3600, description="after which a dead process's requests are charged")


class LimitSettings(Section):
    """Bounds on what a caller may send."""

    body_mb: float = Field(
        50.0,
        gt=0,
        le=10_000,
        description="MB of the largest body that is read whole (chat, responses, all of callers with limits); else 413",
    )


class LoggingSettings(Section):
    """What the log line of a request may hold."""

    prompts: bool = Field(False, description="log the forwarded body too; off unless the operator asks")


class CostSettings(Section):
    """What the gateway itself costs; taken off every saving that it shows."""

    cpu_usd_per_hour: float = Field(0.05, ge=0, le=10_000, description="price of one core for an hour")


class Settings(Section):
    """Everything that the operator decides."""

    upstreams: dict[UpstreamName, UpstreamSettings] = Field(min_length=1)
    models: dict[ModelName, ModelSettings] = Field(default_factory=dict)
    retries: RetrySettings = RetrySettings()
    windowing: WindowingSettings = WindowingSettings()
    teams: dict[TeamName, TeamSettings] = Field(default_factory=dict)
    admin: AdminSettings = AdminSettings()
    redis: RedisSettings | None = None
    store: StoreSettings = StoreSettings()
    on_store_outage: Literal["closed", "open"] = Field(
        "closed", description="closed: 503 for teams with limits; open: each replica spends its share of what was left"
    )
    spending: SpendingSettings = SpendingSettings()
    limits: LimitSettings = LimitSettings()
    logging: LoggingSettings = LoggingSettings()
    costs: CostSettings = CostSettings()
    telemetry: TelemetrySettings | None = Field(None, description="unset: no traces")
    ask_usage: Annotated[Literal["auto", "off"], BeforeValidator(yaml_switch)] = Field(
        "auto", description="auto: ask the upstream for the usage of streams; off: never touch stream_options"
    )

    @property
    def first_upstream(self) -> str:
        """The upstream that serves what nothing else is said of."""
        return next(iter(self.upstreams))


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CONTEXT_GATEWAY_")

    upstream_url: Annotated[str, AfterValidator(http_url)] = DEFAULT_UPSTREAM_URL
    upstream_key: HeaderSecret | None = None


class _StandardEnvironment(BaseSettings):
    """What every program that exports traces reads."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True)

    exporter_otlp_endpoint: Annotated[str, AfterValidator(http_url)] | None = None
    service_name: str = "context-gateway"


_Kind = TypeVar("_Kind", bound=BaseSettings)


def from_environment() -> Settings:
    """Return the settings of a start without a file.

    Raises:
        ConfigError: a variable holds something that can't be used.
    """
    found = _read(_StandardEnvironment)
    endpoint, name = found.exporter_otlp_endpoint, found.service_name
    telemetry = TelemetrySettings(otlp_endpoint=endpoint, service_name=name) if endpoint else None
    return Settings(upstreams={"default": _environment_upstream()}, telemetry=telemetry)


def _environment_upstream() -> UpstreamSettings:
    found = _read(_Environment)
    return UpstreamSettings(base_url=found.upstream_url, api_key=found.upstream_key)


def _read(kind: type[_Kind]) -> _Kind:
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = f"{kind.model_config['env_prefix']}{str(first['loc'][0]).upper()}"
        raise ConfigError(f"{name}: {sentence(first['msg'])}") from None


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file, or the environment alone when there is none.

    Raises:
        ConfigError: naming every mistake: file, line, field, what is expected.
    """
    return from_environment() if path is None else parse(read(path), str(path), environ, path.resolve().parent)


def read(path: Path) -> str:
    """Return the file's text.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected UTF-8 text") from None


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> Settings:
    """Check a configuration's text; `name` is the file's name in messages, its paths go from the folder on.

    Raises:
        ConfigError: as `load`.
    """
    source = YamlSource.of(text, name)
    values = source.values(environ)
    if isinstance(values, dict) and "upstreams" not in values:
        values = {"upstreams": {"default": _environment_upstream()}, **values}
    try:
        settings = Settings.model_validate(values, context=folder)
    except ValidationError as error:
        raise ConfigError("\n".join(_mistakes(error, source))) from None
    problems = list(_cross_checks(settings, source))
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _mistakes(error: ValidationError, source: YamlSource) -> Iterator[str]:
    for item in error.errors(include_input=False, include_url=False):
        yield f"{source.at(item['loc'], item['type'] == 'missing')}: {sentence(item['msg'])}"


def sentence(message: str) -> str:
    """Return what pydantic says of a mistake, in an operator's words."""
    if message.startswith("Extra inputs"):
        return "unknown field"
    if message == "Field required":
        return "missing; this field is required"
    if message.startswith("Input should be a valid dictionary"):
        return "expected fields with values, as in `name: value`"
    message = message.removeprefix("Value error, ").replace("Input should be", "expected")
    return message[:1].lower() + message[1:]


def _upstreams_named(entry: ModelSettings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if entry.upstream is not None:
        yield ("upstream",), entry.upstream
    for i, name in enumerate(entry.upstreams):
        yield ("upstreams", i), name
    for i, fallback in enumerate(entry.fallbacks):
        if fallback.upstream is not None:
            yield ("fallbacks", i, "upstream"), fallback.upstream


def _cross_checks(settings: Settings, source: YamlSource) -> Iterator[str]:
    for model, entry in settings.models.items():
        for place, upstream in _upstreams_named(entry):
            if upstream not in settings.upstreams:
                known = ", ".join(settings.upstreams)
                yield f"{source.at(('models', model, *place))}: expected the name of an upstream ({known})"
    owners: dict[str, str] = {}
    for team, members in settings.teams.items():
        for i, key in enumerate(members.keys):
            if owners.setdefault(key.key.get_secret_value(), team) != team:
                yield f"{source.at(('teams', team, 'keys', i))}: another team has the same key"
