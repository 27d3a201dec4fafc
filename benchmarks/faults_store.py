"""Faults of the store and of the clock: who is still served, what the books say afterwards."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from benchmarks.books import OTHERS
from benchmarks.fault import Fault
from benchmarks.fault_client import UNLIMITED, Answer, ask
from benchmarks.fault_place import TIMEOUT_S, Place, Scene, placed
from benchmarks.findings import Findings, NotHereError, until
from gateway.budgets.periods import Calendar
from gateway.store.entries import State
from tests.gateway.store import servers

_DISK = "4m"
_FILLS = 400  # requests, at most, until what SQLite has in hand is used up
_PROMPT_S = 1.0
_BACK_S = 2.5  # the store's breaker looks every second
_HOUR_S = 3600
_PACE_MS = 80  # a stream of a dozen events takes a second
_SWEEP_S = 2.0  # reservations are looked after every 1.7 s


def disk_full(scene: Scene, found: Findings) -> None:
    """The disk with the ledger runs full, and is freed again."""
    with _small_disk(scene.folder("disk")) as disk, placed(scene.folder("full"), file=disk / "gateway.db") as place:
        answers = [place.ask(), place.ask(key=UNLIMITED)]
        ballast = disk / "ballast"
        _fill(ballast)
        answers += _until_refused(place)
        answers += _while_away(place, found, 3)
        ballast.unlink()
        place.recovers(found, _BACK_S)
        _all_entered(place, found, answers)


def _fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))


def _until_refused(place: Place) -> list[Answer]:
    answers = []
    for _ in range(_FILLS):
        answers.append(place.ask())
        if not answers[-1].good:
            break
    return answers


def _while_away(place: Place, found: Findings, times: int) -> list[Answer]:
    """Check what both teams get while the store is away; return their answers."""
    held = [place.ask() for _ in range(times)]
    free = [place.ask(key=UNLIMITED) for _ in range(times)]
    codes = sorted({f"{answer.status} {answer.error}" for answer in held})
    found.need(all(answer.status == 503 and answer.error for answer in held), f"with budgets: {codes}")
    found.need(all("retry-after" in answer.headers for answer in held), "503 without Retry-After")
    found.need(all(answer.good for answer in free), f"without limits: {[answer.status for answer in free]}")
    slowest = max(answer.seconds for answer in held + free)
    found.need(slowest < _PROMPT_S, f"answered after {slowest:.1f} s")
    found.note(f"with budgets {', '.join(codes)}, without 200")
    return held + free


def _all_entered(place: Place, found: Findings, answers: list[Answer]) -> None:
    """Check that each good answer is in the ledger once, and that all adds up."""
    good = {answer.id for answer in answers if answer.good}

    def lost() -> set[str]:
        return good - {entry.id for team in ("means", OTHERS) for entry in place.books.entries(team)}

    until(lambda: not lost(), 5, 0.1)
    found.need(not lost(), f"{len(lost())} of {len(good)} answers not in the ledger")
    ids = [entry.id for entry in place.books.entries(OTHERS)]
    found.need(len(ids) == len(set(ids)), "entries twice in the ledger")
    place.adds_up(found, 5)
    found.note(f"{len(good)} answers, each once in the ledger")


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of a few MB."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        raise NotHereError("only root can mount a small disk")
    command = [mount, "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise NotHereError(f"a small disk can't be mounted: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def valkey_paused(scene: Scene, found: Findings) -> None:
    """The shared store stops answering, and goes on."""
    with servers.running() as redis, placed(scene.folder("paused"), redis=redis.url) as place:
        _store_away(place, found, redis.pause, redis.resume)


def valkey_killed(scene: Scene, found: Findings) -> None:
    """The shared store is killed, and started again on what it had written."""
    with (
        servers.running("--appendonly", "yes", "--appendfsync", "always") as redis,
        placed(scene.folder("killed"), redis=redis.url) as place,
    ):
        _store_away(place, found, redis.stop, redis.start)


def _store_away(place: Place, found: Findings, leave: Callable[[], None], come: Callable[[], None]) -> None:
    answers = [place.ask(), place.ask(key=UNLIMITED)]
    with _streaming(place) as stream:
        leave()
        answers += _while_away(place, found, 4)
        answers.append(stream.result())
    found.need(answers[-1].good, "a stream that ran did not end well")
    come()
    place.recovers(found, _BACK_S)
    _all_entered(place, found, answers)


@contextlib.contextmanager
def _streaming(place: Place, pace_ms: float = _PACE_MS) -> Iterator["Future[Answer]"]:
    """Run a slow stream beside the block; it has begun when the block does."""
    begun = place.upstream.begun
    with ThreadPoolExecutor(1) as thread:
        stream = thread.submit(ask, place.gateway.url, stream=True, pace_ms=pace_ms)
        until(lambda: place.upstream.begun > begun, 5)
        time.sleep(0.05)
        yield stream


def clock_jumps(scene: Scene, found: Findings) -> None:
    """The machine's clock jumps an hour ahead, and two hours back, while a stream is running."""
    folder = scene.folder("clock")
    clock = folder / "clock"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": _faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with placed(folder, env=env) as place:
        answers = [place.ask()]
        for jump in (_HOUR_S, -_HOUR_S, 0):
            with _streaming(place, 3 * _PACE_MS) as stream:
                clock.write_text(f"{jump:+d}")
                answers += _after_the_jump(place, found, jump)
                time.sleep(_SWEEP_S)  # a sweep looks at the reservation of the stream that runs
                answers.append(stream.result())
                found.need(answers[-1].good, "a stream that ran did not end well")
        _all_entered(place, found, answers)
        states = {entry.id: entry.state for entry in place.books.entries()}
        unsettled = sum(states.get(answer.id) is not State.SETTLED for answer in answers if answer.good)
        found.need(not unsettled, f"{unsettled} answers not settled as the upstream said")
        _periods_sane(place, found)
        place.recovers(found)


def _after_the_jump(place: Place, found: Findings, jump: int) -> list[Answer]:
    stalled = place.ask("stall-in-stream", stream=True)
    late = abs(stalled.seconds - TIMEOUT_S) > TIMEOUT_S
    found.need(stalled.ended_with_error and not late, f"clock {jump:+d} s: a timeout hit after {stalled.seconds:.1f} s")
    good = place.ask()
    found.need(good.good, f"clock {jump:+d} s: answered {good.status}")
    # Whether the clock has jumped at all shows in what the ledger took for the time.
    until(lambda: good.id in {entry.id for entry in place.books.entries()}, 3)
    shown = next((entry.time for entry in place.books.entries() if entry.id == good.id), 0.0) - time.time()
    found.need(abs(shown - jump) < _HOUR_S / 2, f"the clock could not be made to jump: {shown:+.0f} s")
    found.note(f"{jump:+d} s: timeout of {TIMEOUT_S} s after {stalled.seconds:.2f} s")
    return [good]


def _periods_sane(place: Place, found: Findings) -> None:
    """Check that the days' budgets hold what the ledger does, whichever days the clock has shown."""
    now = time.time()
    days = {Calendar().stretch("day", "UTC", now + jump).name for jump in (-_HOUR_S, 0, _HOUR_S)}
    counted = sum(s.spent for s in place.books.standings([f"tokens|day|UTC|team|||{day}" for day in days]))
    entries = [entry for entry in place.books.entries() if entry.state is not State.FREE]
    written = sum(entry.input + entry.output for entry in entries)
    found.need(counted == written, f"the days' budgets hold {counted} tokens, the ledger {written}")
    found.note(f"budget by day: {counted} tokens, as in the ledger")


def _faketime() -> str:
    places = [Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("/usr/local/lib/faketime").glob("*.so.1")]
    files = [str(file) for place in places for file in place]
    if not files:
        raise NotHereError("libfaketime is not installed (apt-get install libfaketime)")
    return files[0]


_AWAY = "teams without limits served; with budgets: 503 at once; nothing lost or double after"
FAULTS = (
    Fault("the ledger's disk is full", _AWAY, disk_full),
    Fault("Valkey stops answering", _AWAY, valkey_paused),
    Fault("Valkey killed and restarted", _AWAY, valkey_killed),
    Fault("clock jumps by an hour", "timeouts as ever; streams settled once; budgets' days add up", clock_jumps, False),
)
