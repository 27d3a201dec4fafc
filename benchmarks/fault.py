"""What a fault is: a name, what must hold while it lasts and after it, and how that is looked at."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.fault_place import Scene
from benchmarks.findings import Findings, NotHereError


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `check` makes it and looks; `quick`: it takes so little time that the gate makes it too."""

    name: str
    must: str
    check: Callable[[Scene, Findings], None]
    quick: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one fault; `held` is None where it could not be made."""

    fault: Fault
    held: bool | None
    said: str
    recovery_s: float | None = None


def outcome_of(fault: Fault, scene: Scene) -> Outcome:
    """Make the fault and say what came of it."""
    found = Findings()
    try:
        fault.check(scene, found)
    except NotHereError as missing:
        return Outcome(fault, None, f"skipped: {missing}")
    except Exception as error:  # noqa: BLE001 - a check that fails in any way has not held; the others go on
        found.wrong.append(f"{type(error).__name__}: {error}")
    said = "; ".join(found.wrong or found.seen)
    return Outcome(fault, not found.wrong, said, found.recovery_s)
