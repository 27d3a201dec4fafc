"""Where the gateway sends requests and traces, as an operator names it: upstreams, a collector; with which headers."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.addresses import certificates, http_url, placed, proxy_url
from gateway.policies import ModelName, Section


class AzureSettings(Section):
    """Azure OpenAI: base_url is then https://NAME.openai.azure.com."""

    api_version: str = Field(pattern=r"^[\w.-]+$", description="such as 2024-10-21")
    deployments: dict[ModelName, ModelName] = Field(
        default_factory=dict, description="by model; unset: named as the model"
    )


# What says where a message goes and how long it is (RFC 9110, 9112) is the connection's own affair.
_FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def _not_framing(name: str) -> str:
    if name.lower() in _FRAMING:
        raise ValueError(f"the gateway sets {name} itself, from the address and the body; leave it out")
    return name


def _sendable(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().isprintable():
        raise ValueError("it holds a line break or another control character")
    return secret


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), AfterValidator(_not_framing)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_sendable)]


def _once_each(headers: dict[HeaderName, HeaderSecret]) -> dict[HeaderName, HeaderSecret]:
    names = [name.lower() for name in headers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands here twice; upper and lower case make no other header")
    return headers


OwnHeaders = Annotated[dict[HeaderName, HeaderSecret], AfterValidator(_once_each)]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("expected a name without line breaks and other control characters")
    return name


# It stands in headers of replies.
UpstreamName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]


class UpstreamSettings(Section):
    """A server that speaks the OpenAI protocol."""

    base_url: Annotated[str, AfterValidator(http_url)] = Field(description="URL up to and with /v1")
    api_key: HeaderSecret | None = Field(None, description="replaces the caller's Authorization; unset: theirs")
    key_header: Literal["authorization", "api-key"] = Field(
        "authorization", description="how api_key is sent: as a bearer token, or as it is under api-key (Azure)"
    )
    headers: OwnHeaders = Field(default_factory=dict, description="sent with every request, in place of the caller's")
    weight: float = Field(1.0, gt=0, le=1000, description="its share among the upstreams of a model")
    connect_timeout_s: float = Field(10.0, gt=0, le=600, description="longest wait for a connection")
    # Above what clients wait: the SDKs 10 minutes unless told otherwise, some for ever, and OpenAI advises an hour for
    # models that research.
    read_timeout_s: float = Field(3600.0, gt=0, le=86400, description="longest silence, before the head or in a stream")
    first_byte_timeout_s: float | None = Field(
        None, gt=0, le=86400, description="longest wait for the reply's head; unset: read_timeout_s"
    )
    idle_timeout_s: float | None = Field(
        None, gt=0, le=86400, description="longest silence within a reply; unset: read_timeout_s"
    )
    total_timeout_s: float | None = Field(None, gt=0, le=86400, description="longest time for a reply; unset: no limit")
    proxy: Annotated[SecretStr, AfterValidator(proxy_url)] | None = Field(
        None, description="http://user:password@host:port to go through"
    )
    ca_file: Annotated[Path, AfterValidator(placed), AfterValidator(certificates)] | None = Field(
        None, description="certificates (PEM) to trust beside the usual ones"
    )
    azure: AzureSettings | None = Field(None, description="set for Azure OpenAI's addresses with deployments")
    breaker_failures: int = Field(
        5, ge=1, le=1_000_000, description="failures in a row after which it is left alone for a while"
    )
    breaker_open_s: float = Field(10.0, gt=0, le=3600, description="how long, the first time; later up to 8 times that")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.key_header in map(str.lower, self.headers):
            raise ValueError(f"headers: {self.key_header} is how api_key is sent; leave out one of them")
        return self


class TelemetrySettings(Section):
    """Where a trace of every request is sent, by OTLP over HTTP."""

    otlp_endpoint: Annotated[str, AfterValidator(http_url)] = Field(description="URL such as http://collector:4318")
    headers: OwnHeaders = Field(default_factory=dict, description="sent with every export")
    service_name: str = Field("context-gateway", min_length=1, max_length=100, description="who says it")
    sample: float = Field(1.0, ge=0, le=1, description="share of the traces that nobody before has decided on")
