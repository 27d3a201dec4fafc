"""`python -m demo`: start the demo's upstream and a gateway, send real long prompts, show what came of them."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from openai import OpenAIError
from rich.console import Console

from benchmarks.processes import Server, ServerDiedError, free_port, running, wait_until
from benchmarks.report import console
from demo.cases import cases
from demo.client import Outcome, Sender
from demo.show import show

CONFIG = """upstreams:
  demo: {{base_url: "{url}/v1"}}
models:
  gpt-4o-mini: {{upstream: demo}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 1500}}
"""
_PATIENCE_S = 180


@contextlib.contextmanager
def servers(out: Console) -> Iterator[tuple[Server, Server]]:
    """Run the upstream and the gateway, and wait until both are ready."""
    with contextlib.ExitStack() as stack, out.status("Starting the demo's upstream …") as status:
        port = free_port()
        upstream = stack.enter_context(running(["-m", "demo.upstream", str(port)], port, "/v1/models"))
        out.print(f"✓ demo upstream (no model: it quotes what it is sent)  {upstream.url}/v1")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="context-gateway-demo-"))
        config = Path(folder) / "gateway.yaml"
        config.write_text(CONFIG.format(url=upstream.url))
        port = free_port()
        command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)]
        gateway = stack.enter_context(running(command, port, None))
        wait_until(
            gateway,
            "/readyz",
            _PATIENCE_S,
            tick=lambda waited: status.update(f"The gateway loads its embedding model … {waited:.0f} s"),
        )
        out.print(f"✓ context-gateway, ready  {gateway.url}/v1")
        status.stop()
        yield upstream, gateway


def send_all(sender: Sender, out: Console) -> list[Outcome]:
    """Send every case's request, with a line for each."""
    outcomes = []
    for number, case in enumerate(cases(), 1):
        with out.status(f"{number}. {case.name} …"):
            outcome = sender.send(number, case)
        outcomes.append(outcome)
        mark = "[green]✓[/green]" if outcome.as_expected else "[red]✗[/red]"
        out.print(f"{mark} {number:2}. {case.name}: ", end="")
        out.print(_shortened(outcome.answer), style="dim", highlight=False, markup=False)
    return outcomes


def _shortened(answer: str, length: int = 70) -> str:
    return f"“{answer[:length].strip()}…”" if len(answer) > length else f"“{answer.strip()}”"


def main() -> int:
    """Return 0 when every passage reached the upstream."""
    out = console()
    began = time.monotonic()
    # The SDK and its HTTP client would send loopback requests through a proxy that is set for the world outside.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    try:
        with servers(out) as (upstream, gateway):
            outcomes = send_all(Sender(gateway.url, upstream.url), out)
    except (OpenAIError, ServerDiedError) as error:
        out.print(f"The demo failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    show(outcomes, time.monotonic() - began, out)
    return 0 if all(outcome.as_expected for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
