"""What a look at the gateway's surroundings found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # the gateway serves, and something is missing
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do, where something is to be done."""

    what: str
    level: Level
    said: str
    advice: str = ""
