"""`context-gateway doctor` and `context-gateway check`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer
from pydantic import SecretStr, ValidationError

from gateway.config import load, sentence
from gateway.destinations import UpstreamSettings
from gateway.diagnosis.conformance import Compared, GatewayNotStartedError, UpstreamSilentError, compared, model_of
from gateway.diagnosis.doctor import examine
from gateway.diagnosis.finding import Finding, Level
from gateway.diagnosis.probes import probes
from gateway.terminal import ConfigOption, JsonOption, fail, named_key, progress, show_table
from gateway.yaml_source import ConfigError

T = TypeVar("T")
_OPENAI = "https://api.openai.com/"


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Look at configuration, store, upstreams, models, prices and model files, and say what to do."""
    try:
        settings = load(config)
    except ConfigError as error:
        advice = "correct the file; `context-gateway config schema` helps an editor to"
        found = [Finding("configuration", Level.ERROR, str(error), advice)]
    else:
        looked = examine(settings, config)
        found = asyncio.run(_collected(looked, lambda finding: finding.what, progress("looking", quiet=as_json)))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        show_table(("", "what", "found", "what to do"), [(_MARKS[f.level], f.what, f.said, f.advice) for f in found])
    if any(finding.level is Level.ERROR for finding in found):
        raise typer.Exit(1)


_MARKS = {Level.OK: "ok", Level.WARNING: "warning", Level.ERROR: "ERROR"}


def check(
    upstream: Annotated[str, typer.Option(help="Base URL of the upstream, up to and with /v1.")],
    model: Annotated[str | None, typer.Option(help="Model to ask; by default the first that it lists.")] = None,
    key_from: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with its key; OpenAI's own is OPENAI_API_KEY."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask an upstream of yours directly and through a gateway, and print in what the answers differ."""
    settings = _upstream(upstream, _key(upstream, key_from))
    asked = model or _first_model(settings, as_json)
    shown = progress("asking", len(probes(asked)), quiet=as_json)
    try:
        found = asyncio.run(_collected(compared(settings, asked), lambda one: one.probe, shown))
    except GatewayNotStartedError as error:
        fail(f"the gateway did not start: {error}")
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _show(found, asked)
    if any(one.differs for one in found):
        raise typer.Exit(1)


def _first_model(settings: UpstreamSettings, quiet: bool) -> str:
    with progress("asking for its models", quiet=quiet):
        try:
            found = asyncio.run(model_of(settings))
        except UpstreamSilentError as error:
            fail(f"{settings.base_url}: {error}")
    if found is None:
        fail(f"{settings.base_url} does not list its models; name one with --model")
    return found


def _key(url: str, name: str | None) -> str | None:
    """Return the upstream's key; OpenAI's is not shown to others unless it is named."""
    if name is None and url.startswith(_OPENAI):
        return os.environ.get("OPENAI_API_KEY")
    return named_key(name)


def _upstream(url: str, key: str | None) -> UpstreamSettings:
    try:
        return UpstreamSettings(base_url=url, api_key=SecretStr(key) if key else None)
    except ValidationError as error:
        fail(f"--upstream: {sentence(error.errors(include_input=False)[0]['msg'])}")


def _show(found: list[Compared], model: str) -> None:
    rows = [(one.probe, str(one.status or "none"), "\n".join(one.differs) or "the same") for one in found]
    show_table(("request", "status", "through the gateway"), rows)
    differing = sum(bool(one.differs) for one in found)
    typer.echo(f"{len(found)} requests to {model}, {differing} answered differently through the gateway.")


async def _collected(
    found: AsyncIterator[T], name: Callable[[T], str], shown: AbstractContextManager[Callable[[str], None]]
) -> list[T]:
    """Return all, with a word about each as it comes where that is shown."""
    collected = []
    with shown as tell:
        async for one in found:
            collected.append(one)
            tell(name(one))
    return collected
