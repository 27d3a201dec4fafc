"""`context-gateway doctor` and `context-gateway check`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer
from pydantic import SecretStr, ValidationError

from gateway.config import UpstreamSettings, load, sentence
from gateway.diagnosis.conformance import Compared, GatewayNotStartedError, compared, model_of
from gateway.diagnosis.doctor import examine
from gateway.diagnosis.finding import Finding, Level
from gateway.terminal import ConfigOption, JsonOption, fail, progress, show_table
from gateway.yaml_source import ConfigError

T = TypeVar("T")


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Look at configuration, store, upstreams, models, prices and model files, and say what to do."""
    try:
        settings = load(config)
    except ConfigError as error:
        advice = "correct the file; `context-gateway config schema` helps an editor to"
        found = [Finding("configuration", Level.ERROR, str(error), advice)]
    else:
        found = asyncio.run(_collected(examine(settings, config), lambda finding: finding.what))
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
        str, typer.Option(metavar="NAME", help="Environment variable that holds its key, if it wants one.")
    ] = "OPENAI_API_KEY",
    as_json: JsonOption = False,
) -> None:
    """Ask an upstream of yours directly and through a gateway, and print in what the answers differ."""
    settings = _upstream(upstream, os.environ.get(key_from))
    asked = model or asyncio.run(model_of(settings))
    if asked is None:
        fail(f"{upstream} does not list its models; name one with --model")
    try:
        found = asyncio.run(_collected(compared(settings, asked), lambda one: one.probe))
    except GatewayNotStartedError as error:
        fail(f"the gateway did not start: {error}")
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _show(found, asked)
    if any(one.differs for one in found):
        raise typer.Exit(1)


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


async def _collected(found: AsyncIterator[T], name: Callable[[T], str]) -> list[T]:
    """Return all, with a word on the terminal about each as it comes."""
    collected = []
    with progress() as tell:
        async for one in found:
            collected.append(one)
            tell(name(one))
    return collected
