"""The names of keys in Redis: all keys of a team share a hash tag, and so one slot of a cluster."""

from datetime import UTC, datetime
from functools import lru_cache

from gateway.store.contract import Kind

_HOUR_S = 3600
_NO_NAME = "%"  # of a team called "": an empty tag would be none; no other name is encoded to that
_ENCODED = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


class Keys:
    """Names that begin with `prefix`, which holds no braces."""

    def __init__(self, prefix: str) -> None:
        if set(prefix) & set("{}"):
            raise ValueError("expected a prefix without braces")
        self._prefix = prefix
        self.teams = f"{prefix}:teams"
        self.sign_of_life = ("SET", f"{prefix}:alive", 1, "EX", 60)  # a command: what can be written, is not away
        self.version = f"{prefix}:{{documents}}:version"
        self.receipts = (f"{prefix}:{{receipts}}:kept", f"{prefix}:{{receipts}}:order")

    def documents(self, kind: Kind) -> str:
        """Return the key of all documents of the kind."""
        return f"{self._prefix}:{{documents}}:{kind.value}"

    def base(self, team: str) -> str:
        """Return what the team's keys begin with."""
        return f"{self._prefix}:{{{team.translate(_ENCODED) or _NO_NAME}}}:"

    def of_scripts(self, team: str) -> tuple[str, str, str, str, str]:
        """Return the keys that every script about a team gets, see lua/counters.lua."""
        base = self.base(team)
        return f"{base}r", f"{base}expiries", f"{base}unsettled", f"{base}ends", f"{base}hours"

    def expiries(self, team: str) -> str:
        """Return the key of the team's reservations by when they expire."""
        return f"{self.base(team)}expiries"

    def unsettled(self, team: str) -> str:
        """Return the key of the team's unsettled requests."""
        return f"{self.base(team)}unsettled"

    def hours(self, team: str) -> str:
        """Return the key of the hours of which the team has entries."""
        return f"{self.base(team)}hours"

    def ledger(self, team: str, hour: str) -> str:
        """Return the key of the team's entries of that hour."""
        return f"{self.base(team)}ledger:{hour}"

    def counter(self, team: str, name: str) -> str:
        """Return the counter's key."""
        return f"{self.base(team)}c:{name}"


def hour_of(time: float) -> str:
    """Return the name of the hour in UTC, such as 2026-11-24T15."""
    return _hour(int(time // _HOUR_S))


@lru_cache(maxsize=1024)
def _hour(number: int) -> str:
    return datetime.fromtimestamp(number * _HOUR_S, UTC).strftime("%Y-%m-%dT%H")


def bounds(hour: str) -> tuple[float, float]:
    """Return when the hour of that name begins and ends."""
    start = datetime.fromisoformat(f"{hour}:00+00:00").timestamp()
    return start, start + _HOUR_S
