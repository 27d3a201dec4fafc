"""The command line: serve, doctor, check, measure, teams, keys, report, config check, config schema, trim."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway import admin_cli, report_cli, stores
from gateway.config import DRAIN_VARIABLE, Settings, is_loopback, load
from gateway.diagnosis import commands as diagnosis
from gateway.effective import commands as effective
from gateway.store.contract import StoreUnavailableError
from gateway.terminal import ConfigOption, JsonOption, fail, load_or_exit, progress
from gateway.yaml_source import ConfigError

main = typer.Typer(
    help="An OpenAI-compatible proxy that forwards only the context a question needs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Check a configuration file, or print its schema.", no_args_is_help=True)
main.add_typer(config, name="config")
main.add_typer(admin_cli.teams, name="teams")
main.add_typer(admin_cli.keys, name="keys")
main.command()(report_cli.report)
main.command()(diagnosis.doctor)
main.command()(diagnosis.check)
main.command()(effective.measure)


@main.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that serve requests.")] = 1,
    drain_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            max=600,
            envvar=DRAIN_VARIABLE,
            help="After SIGTERM: how long to go on serving while /readyz says no, so that load balancers notice.",
        ),
    ] = 3.0,
) -> None:
    """Serve the gateway."""
    from gateway import server  # noqa: PLC0415 - the web server is loaded by the command that needs it

    settings = load_or_exit(config)
    if why := _unsafe(settings, host):
        fail(why)
    try:
        stores.check(settings, config)
    except StoreUnavailableError as error:
        fail(f"the store can't be used: {error} (store.path in the configuration names another place)")
    try:
        server.run(config, host, port, workers, drain_seconds)
    except (server.CannotStartError, ConfigError) as error:
        fail(str(error))


@config.command("check")
def check_config(file: Annotated[Path, typer.Argument(help="The YAML file.")], as_json: JsonOption = False) -> None:
    """Say whether the file can be used, and name every mistake in it."""
    if as_json:
        _check_in_json(file)
        return
    settings = load_or_exit(file)
    typer.echo(
        f"{file}: good. {len(settings.upstreams)} upstream(s), {len(settings.models)} model(s), "
        f"{len(settings.teams)} team(s), windowing {settings.windowing.mode}"
    )


def _check_in_json(file: Path) -> None:
    try:
        load(file)
    except ConfigError as error:
        typer.echo(json.dumps({"good": False, "mistakes": str(error).splitlines()}, indent=2))
        raise typer.Exit(2) from None
    typer.echo(json.dumps({"good": True, "mistakes": []}, indent=2))


@config.command("schema")
def schema(as_json: JsonOption = True) -> None:  # noqa: ARG001 - taken everywhere, and here it is JSON in any case
    """Print the JSON schema of the configuration file, for editors."""
    typer.echo(json.dumps(Settings.model_json_schema(), indent=2))


@main.command(options_metavar="[OPTIONS] < request.json")
def trim(
    config: ConfigOption = None,
    window_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Size of the window, as a caller may name it; the configuration's by default."),
    ] = None,
    body: Annotated[
        bool, typer.Option("--body", help="Print only the body, as windowing lets it be forwarded.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a chat request from standard input; print what would be forwarded and why, chunk by chunk with scores."""
    from gateway import trimming  # noqa: PLC0415 - loads what the other commands do not need

    if body and as_json:
        fail("--body prints the body, which is JSON as it is; leave out --json")
    settings = load_or_exit(config).windowing
    request = _standard_input()
    if why := trimming.complaint(request):
        fail(f"standard input: {why}")
    try:
        with progress("trim", quiet=as_json) as tell:
            outcome = trimming.trim(request, settings, window_tokens, tell)
    except trimming.EmbeddingModelError as error:
        fail(str(error))
    if body:
        for note in trimming.notes(outcome, settings, window_tokens):
            typer.echo(note, err=True)
        sys.stdout.buffer.write(outcome.body or request)
    elif as_json:
        typer.echo(json.dumps(trimming.plain(outcome, settings, window_tokens), indent=2))
    else:
        trimming.show(outcome, settings, window_tokens)


def _unsafe(settings: Settings, host: str) -> str | None:
    """Say why the gateway should not listen there: others reach it, and nobody said who may administer it."""
    if settings.admin.listen is not None:
        host = settings.admin.listen.rpartition(":")[0].strip("[]")
    if not settings.admin.enabled or settings.admin.token is not None or is_loopback(host):
        return None
    return f"to listen on {host}, set admin.token in the configuration (or admin.enabled: false, for no admin API)"


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        typer.echo("type a chat request and end it with Ctrl-D, or stop and use `trim < request.json`", err=True)
    return sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
