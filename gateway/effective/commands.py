"""`context-gateway measure`."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from gateway.config import sentence
from gateway.destinations import UpstreamSettings
from gateway.effective.asking import CannotAskError
from gateway.effective.facts import Fact, FactsError, in_turns, made_up, read
from gateway.effective.figures import WITHIN, Found, Length, Way, found
from gateway.effective.prompts import Filler
from gateway.effective.trial import Asked, Plan, tried
from gateway.pricing import PriceBook
from gateway.terminal import JsonOption, fail, named_key, progress, show_table
from gateway.usage import Usage

_LENGTHS = "1000,2000,4000,8000,16000,32000,64000"
_LONGEST = 2_000_000
_SEED = 1  # the same questions each time: only so can two runs be compared
_UNKNOWN = "–"


def measure(  # noqa: PLR0913, PLR0917 - a command's options
    model: Annotated[str, typer.Option(help="Model to ask.")],
    url: Annotated[str, typer.Option(help="Base URL of a running gateway, up to and with /v1.")] = (
        "http://127.0.0.1:8080/v1"
    ),
    key: Annotated[
        str | None, typer.Option("--key-from", metavar="NAME", help="Environment variable with the key to send.")
    ] = None,
    lengths: Annotated[str, typer.Option(help="Tokens of the prompts.")] = _LENGTHS,
    questions: Annotated[int, typer.Option(min=1, max=1000, help="Questions at each length.")] = 20,
    facts: Annotated[
        Path | None, typer.Option(help="Own questions: a JSON object a line, with passage, question and answers.")
    ] = None,
    among: Annotated[Path | None, typer.Option(help="Own text to hide the passages in.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Questions under way at the same time.")] = 4,
    most_usd: Annotated[float, typer.Option(min=0, help="Don't begin if it can cost more.")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Ask a model at growing lengths, with windowing and without: its effective context, and what is saved."""
    plan = Plan(model, _lengths(lengths), questions, at_once)
    settings, prices = _gateway(url, named_key(key)), PriceBook(url)
    _within_means(plan, prices, most_usd)
    chosen, filler = _facts(facts), Filler(model, _text(among))
    shown = progress("asking", len(plan.lengths) * questions, quiet=as_json)
    try:
        asked = asyncio.run(_collected(settings, plan, chosen, filler, shown))
    except CannotAskError as error:
        fail(f"{url}: {error}")
    came = found(asked, model, prices)
    if as_json:
        typer.echo(json.dumps(asdict(came), indent=2, default=str))
    else:
        _show(came, plan)


async def _collected(
    settings: UpstreamSettings,
    plan: Plan,
    facts: Iterator[tuple[Fact, tuple[Fact, ...]]],
    filler: Filler,
    shown: AbstractContextManager[Callable[[str], None]],
) -> list[Asked]:
    asked = []
    with shown as tell:
        async for one in tried(settings, plan, facts, filler):
            asked.append(one)
            tell(f"{one.length:,} tokens")
    return asked


def _lengths(text: str) -> tuple[int, ...]:
    found = [part.strip().replace("_", "") for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= len(part) <= len(str(_LONGEST)) for part in found):
        fail("--lengths: expected numbers of tokens with commas between, such as 1000,8000,64000")
    numbers = tuple(sorted(set(map(int, found))))
    if not 100 <= numbers[0] <= numbers[-1] <= _LONGEST:
        fail(f"--lengths: from 100 to {_LONGEST:,} tokens")
    return numbers


def _gateway(url: str, key: str | None) -> UpstreamSettings:
    try:
        return UpstreamSettings(base_url=url, api_key=SecretStr(key) if key else None)
    except ValidationError as error:
        fail(f"--url: {sentence(error.errors(include_input=False)[0]['msg'])}")


def _within_means(plan: Plan, prices: PriceBook, most_usd: float) -> None:
    usd = prices.cost(plan.model, Usage(prompt=plan.tokens, completion=0))
    if usd is None:
        typer.echo(f"sending up to {plan.tokens:,} tokens; the price of {plan.model} is not known", err=True)
    elif usd > most_usd:
        fail(f"it can cost ${usd:.2f} ({plan.tokens:,} tokens of {plan.model}); allow that with --most-usd")
    else:
        typer.echo(f"sending up to {plan.tokens:,} tokens, which cost at most ${usd:.2f} and the answers", err=True)


def _facts(file: Path | None) -> Iterator[tuple[Fact, tuple[Fact, ...]]]:
    try:
        return made_up(_SEED) if file is None else in_turns(read(file))
    except FactsError as error:
        fail(f"--facts: {error}")


def _text(file: Path | None) -> str | None:
    try:
        text = None if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--among: {file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}")
    if text is not None and not text.strip():
        fail(f"--among: {file}: there is nothing in it")
    return text


def _show(came: Found, plan: Plan) -> None:
    columns = ("tokens", "directly right", "first piece", "USD", "windowed", "through right", "first piece", "USD")
    show_table(columns, [_row(one) for one in came.lengths])
    longest = plan.lengths[-1]
    typer.echo(
        f"\nEffective context (accuracy within {1 - WITHIN:.0%} of its peak): directly "
        f"{_reach(came.effective_direct, longest)}, through the gateway {_reach(came.effective_through, longest)}."
    )
    typer.echo(_saved(came))
    typer.echo(
        f"Answers: {came.lost} right directly only, {came.won} right through the gateway only"
        f" (so uneven by chance: {came.by_chance:.0%} of the times)."
    )


def _row(one: Length) -> tuple[str, ...]:
    windowed = f"{one.windowed} of {one.questions}"
    return (f"{one.tokens:,}", *_cells(one.direct), windowed, *_cells(one.through))


def _cells(way: Way) -> tuple[str, str, str]:
    right = f"{way.accuracy:.0%} ({way.low:.0%}–{way.high:.0%})"
    began = _UNKNOWN if way.began_ms is None else f"{way.began_ms:,.0f} ms"
    return right, began, _UNKNOWN if way.usd is None else f"{way.usd:.4f}"


def _reach(tokens: int, longest: int) -> str:
    if not tokens:
        return "none of these lengths"
    return f"{tokens:,} tokens" + (" or more" if tokens == longest else "")


def _saved(came: Found) -> str:
    direct, through = ([getattr(one, way) for one in came.lengths] for way in ("direct", "through"))
    tokens, left = (sum(way.prompt_tokens for way in ways) for ways in (direct, through))
    text = f"Prompt tokens by the upstream's own count: {tokens:,} directly, {left:,} through the gateway"
    if any(way.usd is None for way in (*direct, *through)):
        return f"{text}; what that costs is not known."
    usd, rest = (sum(way.usd for way in ways) for ways in (direct, through))
    return f"{text}; bills of ${usd:.4f} and ${rest:.4f}."
