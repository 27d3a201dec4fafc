"""`context-gateway trim`: what windowing makes of one request, chunk by chunk, without any upstream."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config import WindowingSettings
from gateway.windowing.types import ChunkReport, WindowOutcome, WindowPolicy
from gateway.windowing.window import window
from retrieval.embedding import load_embedder
from retrieval.retriever import Retriever
from retrieval.types import Deadline

_SHOWN = 70
_PATIENCE_S = 120.0


def trim(body: bytes, settings: WindowingSettings, window_tokens: int | None) -> WindowOutcome:
    """Return the window of a request body by the operator's settings, with its chunks."""
    policy = WindowPolicy(settings.trigger_tokens, window_tokens or settings.window_tokens, settings.deadline_ms)
    retriever = Retriever(load_embedder(settings.embedding_model))
    # Whoever asks why has time; loading vocabularies and model is not the request's.
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
    table = Table("message", "role", "characters", "tokens", "score", "", highlight=False)
    table.add_column("text", no_wrap=True, ratio=1)
    for chunk in report:
        where = f"{chunk.start}-{chunk.end}"
        mark = Text("kept", style="green") if chunk.kept else Text("dropped", style="dim")
        text = Text(" ".join(chunk.text.split())[:_SHOWN], style="" if chunk.kept else "dim")
        table.add_row(str(chunk.message), chunk.role, where, str(chunk.tokens), f"{chunk.score:.3f}", mark, text)
    return table


def _summary(outcome: WindowOutcome) -> str:
    if outcome.tokens_original is None:
        return f"forwarded as it is: {outcome.reason}" + (f" ({outcome.detail})" if outcome.detail else "")
    if outcome.body is None:
        why = f" ({outcome.detail})" if outcome.detail else ""
        return f"forwarded as it is: {outcome.reason}{why}; {outcome.tokens_original:,} tokens"
    saved = 1 - (outcome.tokens_forwarded or 0) / max(outcome.tokens_original, 1)
    return f"{outcome.reason}: {outcome.tokens_original:,} tokens -> {outcome.tokens_forwarded:,}, {saved:.0%} saved"
