"""`context-gateway trim`: what windowing makes of one request, chunk by chunk, without any upstream."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config import WindowingSettings
from gateway.windowing.decide import held, policy_of
from gateway.windowing.measuring import COMMON_MODEL, AsItIsError
from gateway.windowing.reading import api_of, read
from gateway.windowing.rehearsal import rehearsed
from gateway.windowing.types import Api, ChunkReport, Reason, WindowOutcome, WindowPolicy
from gateway.windowing.window import window
from retrieval.retriever import Retriever
from retrieval.tokens import counter_for
from retrieval.types import Deadline, Ranking

_SHOWN = 200
# Whoever asks why has time; loading vocabularies and model is not the request's.
_PATIENCE_S = 120.0
_WHY = {
    Reason.WHOLE_DOCUMENT: "the question needs all of the text",
    Reason.NOTHING_TO_TRIM: "less than a tenth of the tokens would go",
    Reason.NOT_TEXT: "no request that can be read",
}


class EmbeddingModelError(Exception):
    """The embedding model cannot be loaded; the message says in one line which and why."""


class _NotLoaded:
    """Stands for the retriever until a window is really to be made."""

    def rank(self, *_: object, **__: object) -> Ranking:
        raise AsItIsError(Reason.WARMING)


def complaint(body: bytes) -> str | None:
    """Say why the body is no chat request, None where it is one."""
    if not body.strip():
        return "empty; expected a chat request, as in `context-gateway trim < request.json`"
    try:
        found = read(body, api_of(body))
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg}: line {error.lineno}, column {error.colno})"
    except UnicodeDecodeError as error:
        return f"not UTF-8 text (byte {error.start})"
    except (ValueError, RecursionError):
        return "not JSON that can be read"
    return (
        None if found else "no chat request; expected an object with a list `messages`, which is not empty, or `input`"
    )


def trim(
    body: bytes, settings: WindowingSettings, window_tokens: int | None, tell: Callable[[str], None] = lambda _: None
) -> WindowOutcome:
    """Return what the gateway makes of a body that comes first, by the operator's settings, with its chunks.

    `tell` is called with what is done next, where that takes its time.

    Raises:
        EmbeddingModelError: the model, which only a body that is to be trimmed needs, cannot be loaded.
    """
    policy = policy_of(settings, str(window_tokens) if window_tokens else None, _api(body))
    tell("reading")
    counter_for(COMMON_MODEL)  # loaded here, so that its time is not the request's
    asked = window(body, policy, _NotLoaded(), Deadline.after(_PATIENCE_S))
    if asked.reason is not Reason.WARMING:
        return asked if asked.tokens_original is not None else _counted(body, policy, asked)
    tell(f"loading the embedding model {settings.embedding_model}")
    retriever = _retriever(settings)
    tell("ranking")
    outcome = window(body, policy, retriever, Deadline.after(_PATIENCE_S), explain=True)
    # What was done before is quicker now than it is for a gateway that sees the body for the first time.
    return replace(outcome, stages=asked.stages + outcome.stages[len(asked.stages) :])


def _api(body: bytes) -> Api:
    try:
        return api_of(body)
    except (ValueError, RecursionError):
        return Api.CHAT  # which says what is wrong with it


def _counted(body: bytes, policy: WindowPolicy, outcome: WindowOutcome) -> WindowOutcome:
    """Return the outcome with the tokens that the gateway had no need to count, where the body was small enough."""
    if outcome.reason is not Reason.SMALL:
        return outcome
    total = window(body, replace(policy, trigger_tokens=0), None, Deadline.after(_PATIENCE_S)).tokens_original
    return replace(outcome, tokens_original=total, tokens_forwarded=total)


def _retriever(settings: WindowingSettings) -> Retriever:
    model = settings.embedding_model
    try:
        # The libraries' progress bars and warnings are nothing that was asked for.
        with redirect_stderr(io.StringIO()):
            return rehearsed(settings.embedding_model, settings.embedding_ms)
    except Exception as error:  # a model can fail to load in any library's way
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise EmbeddingModelError(f"the embedding model {model!r} cannot be loaded: {why}") from error


def notes(outcome: WindowOutcome, settings: WindowingSettings, window_tokens: int | None) -> Iterator[str]:
    """Say where the size is another than was asked for, and where the gateway would still forward the original."""
    if window_tokens is not None and (size := held(settings, window_tokens)) != window_tokens:
        bound = "min_window_tokens" if size > window_tokens else "max_window_tokens"
        yield f"--window-tokens {window_tokens:,} is held to windowing.{bound}, {size:,}, as a caller's would be"
    if outcome.body is not None:
        yield from _otherwise(outcome, settings)


def plain(outcome: WindowOutcome, settings: WindowingSettings, window_tokens: int | None) -> dict[str, Any]:
    """Return all that `show` prints, for programs, and each chunk's whole text."""
    size = settings.window_tokens if window_tokens is None else held(settings, window_tokens)
    return {
        "windowed": outcome.body is not None,
        "reason": outcome.reason,
        "why": _because(outcome, settings) or None,
        "window_tokens": size,
        "tokens_original": outcome.tokens_original,
        "tokens_forwarded": outcome.tokens_forwarded,
        "confidence": outcome.confidence,
        "chunks": [asdict(chunk) for chunk in outcome.report],
        "stages": [{"name": name, "ms": round(ms, 3)} for name, ms in outcome.stages],
        "notes": list(notes(outcome, settings, window_tokens)),
    }


def show(
    outcome: WindowOutcome,
    settings: WindowingSettings,
    window_tokens: int | None = None,
    console: Console | None = None,
) -> None:
    """Print the outcome as a table of chunks and a summary, and where the gateway would still do otherwise."""
    console = console or Console()
    if outcome.report:
        console.print(_table(outcome.report))
    console.print(_summary(outcome, settings), highlight=False, soft_wrap=True)
    for note in notes(outcome, settings, window_tokens):
        console.print(note, highlight=False, soft_wrap=True)
    if outcome.stages:
        console.print("  ".join(f"{name} {ms:.1f} ms" for name, ms in outcome.stages), style="dim", soft_wrap=True)


def _table(report: tuple[ChunkReport, ...]) -> Table:
    table = Table(highlight=False, padding=(0, 0))
    for name in ("msg", "role", "characters", "tokens", "score", "kept"):
        table.add_column(name, no_wrap=True, justify="left" if name in {"role", "kept"} else "right")
    table.add_column("text", ratio=1)
    for chunk in report:
        where = f"{chunk.start}-{chunk.end}"
        mark = Text("yes", style="green") if chunk.kept else Text("no", style="dim")
        text = Text(_line(chunk.text), style="" if chunk.kept else "dim", no_wrap=True, overflow="ellipsis")
        table.add_row(str(chunk.message), chunk.role, where, str(chunk.tokens), f"{chunk.score:.3f}", mark, text)
    return table


def _line(text: str) -> str:
    """Return the text's beginning in one line, without what a terminal would obey or could not show."""
    line = " ".join(text[: 4 * _SHOWN].split())[:_SHOWN]
    return "".join(character if character.isprintable() else "·" for character in line)


def _summary(outcome: WindowOutcome, settings: WindowingSettings) -> str:
    if outcome.body is None:
        why = f"forwarded as it is: {outcome.reason}{_why(outcome, settings)}"
        return f"{why}; {_saved(outcome)}" if outcome.tokens_original is not None else why
    sure = f", {outcome.confidence:.0%} of the evidence expected inside" if outcome.confidence is not None else ""
    kept = sum(chunk.kept for chunk in outcome.report)
    return f"{outcome.reason}: {_saved(outcome)}{sure}; {kept:,} of {len(outcome.report):,} chunks kept"


def _saved(outcome: WindowOutcome) -> str:
    original, forwarded = outcome.tokens_original or 0, outcome.tokens_forwarded or 0
    return f"{original:,} tokens -> {forwarded:,}, {1 - forwarded / max(original, 1):.0%} saved"


def _why(outcome: WindowOutcome, settings: WindowingSettings) -> str:
    why = _because(outcome, settings)
    return f" ({why})" if why else ""


def _because(outcome: WindowOutcome, settings: WindowingSettings) -> str:
    small = f"not above trigger_tokens, {settings.trigger_tokens:,}" if outcome.reason is Reason.SMALL else ""
    return outcome.detail or small or _WHY.get(outcome.reason, "")


def _otherwise(outcome: WindowOutcome, settings: WindowingSettings) -> Iterator[str]:
    """Say where the gateway would forward the original all the same."""
    if settings.mode != "on":
        yield f"windowing.mode is {settings.mode}: the gateway forwards the original"
    taken = sum(ms for _, ms in outcome.stages)
    if taken > settings.deadline_ms:
        limit = f"windowing.deadline_ms, {settings.deadline_ms:,}"
        yield f"made in {taken:,.0f} ms here: past {limit}, the gateway forwards the original"
