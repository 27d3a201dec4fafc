"""`context-gateway trim`: what windowing makes of one request, chunk by chunk, without any upstream."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config import WindowingSettings
from gateway.windowing.decide import policy_of
from gateway.windowing.types import ChunkReport, Reason, WindowOutcome
from gateway.windowing.window import window
from retrieval.retriever import Retriever
from retrieval.types import Deadline

_SHOWN = 70
_PATIENCE_S = 120.0


def trim(body: bytes, settings: WindowingSettings, window_tokens: int | None) -> WindowOutcome:
    """Return the window of a request body by the operator's settings, with its chunks.

    Raises OSError or ValueError when the embedding model, which only an oversized request needs, cannot be loaded.
    """
    policy = policy_of(settings, str(window_tokens) if window_tokens else None)
    outcome = window(body, policy, None, Deadline.after(_PATIENCE_S))
    if outcome.reason is not Reason.WARMING:
        return outcome
    # Imported here: torch takes seconds, which a request that is left alone does not need.
    from retrieval.embedding import load_embedder  # noqa: PLC0415

    # Whoever asks why has time; loading vocabularies and model is not the request's.
    retriever = Retriever(load_embedder(settings.embedding_model))
    return window(body, policy, retriever, Deadline.after(_PATIENCE_S), explain=True)


def show(outcome: WindowOutcome, console: Console | None = None) -> None:
    """Print the outcome as a table of chunks and a summary."""
    console = console or Console()
    if outcome.report:
        console.print(_table(outcome.report))
    console.print(_summary(outcome))
    if outcome.stages:
        console.print("  ".join(f"{name} {ms:.1f} ms" for name, ms in outcome.stages), style="dim")


def _table(report: tuple[ChunkReport, ...]) -> Table:
    table = Table(highlight=False, padding=(0, 0))
    for name in ("msg", "role", "characters", "tokens", "score", "kept"):
        table.add_column(name, no_wrap=True, justify="left" if name in {"role", "kept"} else "right")
    table.add_column("text", ratio=1)
    for chunk in report:
        where = f"{chunk.start}-{chunk.end}"
        mark = Text("yes", style="green") if chunk.kept else Text("no", style="dim")
        line = " ".join(chunk.text.split())[:_SHOWN]
        text = Text(line, style="" if chunk.kept else "dim", no_wrap=True, overflow="ellipsis")
        table.add_row(str(chunk.message), chunk.role, where, str(chunk.tokens), f"{chunk.score:.3f}", mark, text)
    return table


def _summary(outcome: WindowOutcome) -> str:
    if outcome.tokens_original is None:
        return f"forwarded as it is: {outcome.reason}" + (f" ({outcome.detail})" if outcome.detail else "")
    if outcome.body is None:
        why = f" ({outcome.detail})" if outcome.detail else ""
        return f"forwarded as it is: {outcome.reason}{why}; {outcome.tokens_original:,} tokens"
    saved = 1 - (outcome.tokens_forwarded or 0) / max(outcome.tokens_original, 1)
    sure = f", {outcome.confidence:.0%} of the evidence expected inside" if outcome.confidence is not None else ""
    return (
        f"{outcome.reason}: {outcome.tokens_original:,} tokens -> {outcome.tokens_forwarded:,}, {saved:.0%} saved{sure}"
    )
