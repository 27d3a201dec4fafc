from pathlib import Path

import pytest

from benchmarks.bench_peers_speed import answers
from benchmarks.peers_install import PeerUnavailableError
from benchmarks.peers_proxies import portkey
from benchmarks.targets import upstream

# Stands where npm puts Portkey's gateway, and does the same with the headers by which it is told its upstream.
_RELAY = """
const http = require("http");
const port = Number(process.argv.find((a) => a.startsWith("--port=")).slice(7));
http.createServer((asked, reply) => {
  if (asked.method === "GET") return reply.end();
  const to = asked.headers["x-portkey-custom-host"] + "/chat/completions";
  const options = { method: "POST", headers: { "content-length": asked.headers["content-length"] } };
  asked.pipe(http.request(to, options, (given) => given.pipe(reply)));
}).listen(port, "127.0.0.1");
"""


def installed(cache: Path, script: str) -> None:
    folder = cache / "context-gateway-bench" / "-portkey-ai-gateway-1.15.2"
    build = folder / "node_modules" / "@portkey-ai" / "gateway" / "build"
    build.mkdir(parents=True)
    (build / "start-server.js").write_text(script)
    (folder / "complete").touch()


def test_a_proxy_is_started_before_the_upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed(tmp_path, _RELAY)
    try:
        with upstream("canned") as alone, portkey(alone.url) as target:
            assert answers(target) == ""
    except PeerUnavailableError as error:
        if "FileNotFoundError" not in str(error):
            raise
        pytest.skip("node is not installed")


def test_a_proxy_that_ends_at_once_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed(tmp_path, 'console.log("out of luck"); process.exit(1);')
    with (
        pytest.raises(PeerUnavailableError, match=r"not started: (out of luck|FileNotFoundError)"),
        portkey("http://x"),
    ):
        pass


def test_without_npm_there_is_no_portkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PeerUnavailableError, match="not installed: FileNotFoundError"), portkey("http://x"):
        pass
    assert list((tmp_path / "context-gateway-bench").glob("*")) == []
