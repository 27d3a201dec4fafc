"""Five cases of every evaluation source through the real gateway: nothing may break."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import free_port, running
from tests.integration.conftest import serve_command

CONFIG = """
upstreams:
  main: {{base_url: "http://127.0.0.1:{port}/v1"}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 1500}}
"""


def test_nothing_is_broken(shared_eval: Path, tmp_path: Path) -> None:
    listen, port, result = free_port(), free_port(), tmp_path / "score.json"
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(port=listen))
    with running(serve_command(config, port), port, "/readyz", timeout_s=120) as server:
        score = [sys.executable, str(shared_eval / "score.py"), "--gateway", f"{server.url}/v1"]
        more = ["--listen", f"127.0.0.1:{listen}", "--limit", "5", "--json", str(result)]
        done = subprocess.run([*score, *more], capture_output=True, text=True, timeout=240, check=False)
    assert result.exists(), done.stderr[-2000:]
    rows = json.loads(result.read_text())["rows"]
    assert len({row["source"] for row in rows}) > 1
    assert [(row["id"], row["broken"]) for row in rows if row["broken"]] == []
