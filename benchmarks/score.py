"""Score a gateway with the default windowing over the evaluation cases beside the checkout, from outside.

The cases are no part of the project; without ../shared/eval this says so and ends.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import ROOT, free_port, running

SCORER = ROOT.parent / "shared" / "eval" / "score.py"
CONFIG = """\
upstreams:
  main: {{base_url: "http://127.0.0.1:{upstream}/v1"}}
models:
  gpt-4o-mini: {{upstream: main}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: {window}, min_window_tokens: 100, deadline_ms: 1500}}
"""


def main() -> int:
    """Start a gateway, run the scorer against it, and return the scorer's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", default="20", help="cases of each source, 0 for all")
    parser.add_argument("--window-tokens", default="2000")
    options, more = parser.parse_known_args()
    if not SCORER.exists():
        print(f"skipped: there is no {SCORER}", file=sys.stderr)
        return 0
    upstream, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.yaml"
        config.write_text(CONFIG.format(upstream=upstream, window=options.window_tokens))
        command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)]
        with running(command, port, ready="/readyz") as server:
            scorer = [sys.executable, str(SCORER), "--gateway", f"{server.url}/v1", "--listen", f"127.0.0.1:{upstream}"]
            return subprocess.run([*scorer, "--limit", options.limit, *more], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
