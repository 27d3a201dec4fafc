"""Start the real gateway before an upstream, as the benchmarks need it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import Server, free_port, running

CONFIG = """upstreams:
  main: {{base_url: "{upstream}/v1"}}
models:
  gpt-4o-mini: {{upstream: main}}
windowing:
  {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: {deadline_ms}, embedding_ms: {embedding_ms}}}
"""


@contextlib.contextmanager
def gateway(
    upstream_url: str, deadline_ms: int = 1500, workers: int = 1, embedding_ms: int | None = None
) -> Iterator[Server]:
    """Run `context-gateway serve` before the upstream (a URL without /v1) until it is ready."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-bench-") as folder:
        config = Path(folder) / "gateway.yaml"
        embedding = "null" if embedding_ms is None else embedding_ms
        config.write_text(CONFIG.format(upstream=upstream_url, deadline_ms=deadline_ms, embedding_ms=embedding))
        port = free_port()
        command = [
            "-m",
            "gateway.cli",
            "serve",
            "--config",
            str(config),
            "--port",
            str(port),
            "--workers",
            str(workers),
        ]
        with running(command, port, "/readyz", timeout_s=180) as server:
            yield server
