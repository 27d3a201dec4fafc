"""The demonstration's table, and what to do next."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from demo.client import Outcome

NEXT = """[bold]How to go on[/bold]
  1. Serve it before your own upstream, in a terminal:
       [cyan]CONTEXT_GATEWAY_UPSTREAM_URL=https://api.openai.com/v1 make run[/cyan]
     or with a configuration file (docs/configuration.md):
       [cyan].venv/bin/context-gateway serve --config gateway.yaml[/cyan]
  2. Point any OpenAI SDK at it; nothing else changes:
       [cyan]client = OpenAI(base_url="http://127.0.0.1:8080/v1")[/cyan]
  3. See what would be forwarded of a request of yours, and why, without any upstream:
       [cyan].venv/bin/context-gateway trim < request.json[/cyan]
  README.md and docs/ have the rest."""

_WIDE = 100  # columns


def table_of(outcomes: Sequence[Outcome], narrow: bool) -> Table:
    """Return the table of all requests with its totals; `narrow` fits it into 80 columns."""
    table = Table(show_footer=True, box=box.SIMPLE_HEAD, padding=(0, 0) if narrow else (0, 1))
    before, after, cost = (
        sum(o.number(n) or 0 for o in outcomes) for n in ("tokens-original", "tokens-forwarded", "cost-saved-usd")
    )
    kept = sum(outcome.kept for outcome in outcomes)
    table.add_column("request", footer="total")
    table.add_column(
        "tokens before\n→ forwarded", justify="right", footer=f"{before:,.0f} → {after:,.0f}", no_wrap=True
    )
    table.add_column("saved", justify="right", footer=_percent(before, after), no_wrap=True)
    table.add_column("net\nsaved", justify="right", footer=f"${cost:.5f}", no_wrap=True)
    table.add_column("added\nms", justify="right", no_wrap=True)
    table.add_column("passage", footer=f"{kept} of {len(outcomes)}", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    return table


def _cells(outcome: Outcome) -> list[str]:
    before, after = outcome.number("tokens-original"), outcome.number("tokens-forwarded")
    cost, added = outcome.number("cost-saved-usd"), outcome.number("overhead-ms")
    return [
        outcome.case.name,
        "not counted" if before is None or after is None else f"{before:,.0f} → {after:,.0f}",
        "" if before is None or after is None else _percent(before, after),
        "" if cost is None else f"${cost:.5f}",
        "" if added is None else f"{added:,.1f}",
        "[green]kept[/green]" if outcome.kept else "[red]LOST[/red]",
        outcome.headers.get("x-gateway-reason", ""),
    ]


def _percent(before: float, after: float) -> str:
    return f"{(before - after) / before:.0%}" if before else ""


def show(outcomes: Sequence[Outcome], seconds: float, console: Console) -> None:
    """Print the table, what it rests on, and how to go on."""
    console.print()
    console.print(table_of(outcomes, narrow=console.width < _WIDE))
    console.print(
        f"Took {seconds:.0f} s. Net saved: at gpt-4o-mini's prices, less what the gateway itself costs.\n"
        "The upstream was the demo's, no model: it quotes its prompt, and each passage was looked up in that.\n",
        style="dim",
    )
    console.print(NEXT, highlight=False)
