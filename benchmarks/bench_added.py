"""What windowing adds to a long prompt: `python -m benchmarks.bench_added [--runs 5] [--embedding-ms N]`.

Text of 8K, 32K, 128K and 512K tokens from Python's own documentation and library, through the real gateway; the time
of the same request sent straight to the upstream is taken off. Cold: a text the gateway has not seen. Warm: the same
text with another question. Turn: the same conversation, with the answer and one question more.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.gateway import gateway
from benchmarks.processes import free_port, running
from benchmarks.report import console
from demo import texts
from retrieval.tokens import counter_for

SIZES = (8_000, 32_000, 128_000, 512_000)
KINDS = ("cold", "warm", "turn")
MODEL = "gpt-4o-mini"
COLD = "Are __del__ methods called for objects that still exist when the interpreter exits?"
WARM = "When is __init_subclass__ called?"
ANSWER = "No, that is not guaranteed."
_SOURCES = ("argparse", "shutil", "statistics", "tarfile", "ipaddress", "zipfile")
_LARGE = 200_000  # tokens; longer texts take more modules
_MORE_SOURCES = (
    "_pydecimal", "turtle", "typing", "inspect", "doctest", "mailbox", "pickle", "logging", "subprocess", "difflib",
    "optparse", "configparser", "pickletools", "ast", "enum", "random", "dataclasses", "pathlib", "socket", "ssl",
    "unittest.mock", "http.client", "http.cookiejar", "email.message", "urllib.request", "xml.dom.minidom", "locale",
    "logging.handlers", "asyncio.base_events", "asyncio.unix_events", "concurrent.futures.process", "imaplib",
    "pdb", "ftplib", "gettext", "uuid", "smtplib", "threading", "textwrap", "traceback", "tokenize", "plistlib",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: milliseconds through the gateway and straight to the upstream, and what the gateway said of it."""

    through: float
    direct: float
    reason: str
    forwarded: int | None

    @property
    def added(self) -> float:
        """Milliseconds that the gateway added."""
        return self.through - self.direct


class Client:
    """One kept-alive connection."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)

    def post(self, body: bytes) -> tuple[float, http.client.HTTPResponse]:
        """Post a chat body; return the milliseconds until the whole reply was there, and the reply."""
        start = time.perf_counter()
        self._connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        reply.read()
        return (time.perf_counter() - start) * 1e3, reply


@cache
def document(tokens: int) -> str:
    """Return text of about that many tokens, paragraphs of the language reference first."""
    text = texts.reference() + texts.source(*_SOURCES)
    if tokens > _LARGE:
        text += texts.source(*_MORE_SOURCES)
    share = tokens / counter_for(MODEL).count(text)
    return text[: round(len(text) * share)]


def unseen(text: str, run: str, tokens: int) -> str:
    """Return about that many tokens of the text, every paragraph labelled, so that nothing of an earlier run serves."""
    labelled = "".join(f"[{run}.{n}] {part}\n\n" for n, part in enumerate(text.split("\n\n")))
    return labelled[: round(len(labelled) * min(1.0, tokens / counter_for(MODEL).count(labelled)))]


def body_of(text: str, question: str) -> bytes:
    """Return a chat body that asks the question after the text."""
    return _chat(f"{text}\n\n{question}")


def turn_of(text: str) -> bytes:
    """Return the chat body of the next turn: the text and its question, an answer, another question."""
    return _chat(f"{text}\n\n{COLD}", ANSWER, WARM)


def _chat(*contents: str) -> bytes:
    roles = itertools.cycle(("user", "assistant"))
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    return json.dumps({"model": MODEL, "messages": messages}).encode()


def sample(through: Client, direct: Client, body: bytes) -> Sample:
    """Send one body both ways."""
    milliseconds, reply = through.post(body)
    forwarded = reply.getheader("x-gateway-tokens-forwarded")
    return Sample(
        milliseconds,
        direct.post(body)[0],
        reply.getheader("x-gateway-reason") or str(reply.status),
        int(forwarded) if forwarded else None,
    )


def measure(runs: int, deadline_ms: int, embedding_ms: int | None) -> dict[tuple[int, str], list[Sample]]:
    """Return the samples by size and kind (cold, warm, turn)."""
    results: dict[tuple[int, str], list[Sample]] = {(size, kind): [] for size in SIZES for kind in KINDS}
    with contextlib.ExitStack() as stack:
        port = free_port()
        upstream = stack.enter_context(running(["-m", "benchmarks.canned", str(port)], port)).url
        through = Client(stack.enter_context(gateway(upstream, deadline_ms, embedding_ms=embedding_ms)).url)
        direct = Client(upstream)
        sample(through, direct, body_of(unseen(document(SIZES[0]), "first", SIZES[0]), COLD))
        for size in SIZES:
            for run in range(runs):
                text = unseen(document(size), f"{size}.{run}", size)
                for kind, body in zip(KINDS, (body_of(text, COLD), body_of(text, WARM), turn_of(text)), strict=True):
                    results[size, kind].append(sample(through, direct, body))
    return results


def show(results: dict[tuple[int, str], list[Sample]], out: Console) -> None:
    """Print the table."""
    table = Table(title="Time that windowing adds to a long prompt, medians")
    for name in ("tokens", "text", "direct ms", "through ms", "added ms", "per 1K", "slowest", "forwarded", "reasons"):
        table.add_column(name, justify="left" if name in {"text", "reasons"} else "right")
    for (size, kind), samples in results.items():
        forwarded = [s.forwarded for s in samples if s.forwarded is not None]
        table.add_row(
            f"{size:,}",
            kind,
            f"{statistics.median(s.direct for s in samples):.1f}",
            f"{statistics.median(s.through for s in samples):.0f}",
            f"{statistics.median(s.added for s in samples):.0f}",
            f"{statistics.median(s.added for s in samples) / size * 1e3:.2f}",
            f"{max(s.added for s in samples):.0f}",
            f"{statistics.median(forwarded):,.0f}" if forwarded else "",
            _counted([s.reason for s in samples]),
        )
    out.print(table)


def _counted(reasons: Sequence[str]) -> str:
    return ", ".join(f"{reason} {reasons.count(reason)}" for reason in sorted(set(reasons)))


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="texts of each size")
    parser.add_argument("--deadline-ms", type=int, default=5000, help="the gateway's deadline")
    parser.add_argument("--embedding-ms", type=int, help="the operator's time for embedding on a request's path")
    options = parser.parse_args()
    show(measure(options.runs, options.deadline_ms, options.embedding_ms), console())


if __name__ == "__main__":
    main()
