"""What windowing does to everything beside it: `python -m benchmarks.bench_beside [--seconds 8]`.

Small requests' latency while nothing else runs, and while prompts of 128K tokens are windowed without a pause; then the
memory of all the gateway's processes once ready, while and after a prompt of 512K tokens is windowed.
"""

import argparse
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from benchmarks.bench_added import COLD, Client, body_of, document, sample, unseen
from benchmarks.gateway import gateway
from benchmarks.processes import free_port, running
from benchmarks.report import console

_LARGE = 128_000
_HUGE = 512_000
_PROMPTS = 24
_PAUSE_S = 0.002
_SETTLE_S = 5.0


def latencies(client: Client, seconds: float) -> list[float]:
    """Return the milliseconds of small requests sent one after another for so long, sorted."""
    body = body_of("A short text.", "What is it?")
    client.post(body)
    until = time.monotonic() + seconds
    found = []
    while time.monotonic() < until:
        found.append(client.post(body)[0])
        time.sleep(_PAUSE_S)
    return sorted(found)


@contextlib.contextmanager
def windowing(url: str) -> Iterator[list[str]]:
    """Send large prompts without a pause; yields the reasons that came back so far."""
    # Made beforehand: making them takes this process the time in which small requests are measured.
    bodies = [body_of(unseen(document(_LARGE), f"beside.{run}", _LARGE), COLD) for run in range(_PROMPTS)]
    stop, reasons = threading.Event(), list[str]()
    client = Client(url)

    def work() -> None:
        for body in itertools.cycle(bodies):
            if stop.is_set():
                break
            _, reply = client.post(body)
            reasons.append(reply.getheader("x-gateway-reason") or "")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield reasons
    finally:
        stop.set()
        thread.join()


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and all below it."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return own / 1024 + sum(map(resident_mb, children))


def highest(pid: int, work: threading.Thread) -> float:
    """Return the highest memory seen while the thread runs."""
    top = resident_mb(pid)
    while work.is_alive():
        top = max(top, resident_mb(pid))
        time.sleep(0.02)
    return top


def memory(url: str, direct: Client, pid: int) -> dict[str, float]:
    """Return the memory before, while and after a huge prompt is windowed."""
    before = resident_mb(pid)
    body = body_of(unseen((document(_LARGE) + "\n\n") * (_HUGE // _LARGE), "huge", _HUGE), COLD)
    work = threading.Thread(target=sample, args=(Client(url), direct, body))
    work.start()
    top = highest(pid, work)
    time.sleep(_SETTLE_S)
    return {"before": before, "highest": top, "after": resident_mb(pid)}


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    port = free_port()
    with running(["-m", "benchmarks.canned", str(port)], port) as upstream, gateway(upstream.url) as server:
        small = Client(server.url)
        idle = latencies(small, options.seconds)
        with windowing(server.url) as reasons:
            beside = latencies(small, options.seconds)
        used = memory(server.url, Client(upstream.url), server.process.pid)
    table = Table("small requests", "n", "p50 ms", "p99 ms", title="Small requests beside windowing")
    for name, found in (("idle", idle), (f"beside {len(reasons)} prompts of 128K", beside)):
        table.add_row(name, str(len(found)), f"{found[len(found) // 2]:.2f}", f"{found[int(len(found) * 0.99)]:.2f}")
    out = console()
    out.print(table)
    times = beside[int(len(beside) * 0.99)] / idle[int(len(idle) * 0.99)]
    out.print(f"p99 {times:.1f}x of idle; reasons {sorted(set(reasons))}")
    rounded = {name: round(value) for name, value in used.items()}
    out.print("memory MB, gateway and windowing process, around a prompt of 512K tokens:", rounded)


if __name__ == "__main__":
    main()
