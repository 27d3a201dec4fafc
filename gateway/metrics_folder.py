"""The temporary folder in which a gateway's workers count, locked for as long as their supervisor lives."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "context-gateway-metrics-"


class MetricsFolder:
    """The folder, from its making to its removal; may raise OSError when it is made."""

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = _locked(self.path)

    def mend(self) -> None:
        """Make it again where something has cleaned it up."""
        if not self.path.is_dir():
            with contextlib.suppress(OSError):  # tried again soon
                self.path.mkdir(mode=0o700)
                self._unlock()
                self._lock = _locked(self.path)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sweep(among: Path) -> None:
    """Remove the folders of supervisors that have ended without doing so."""
    for path in among.glob(f"{_PREFIX}*"):
        lock = _locked(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _locked(path: Path) -> int | None:
    """Return a file that holds the lock on a folder of ours; None where another process has it, or there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(file).st_uid == os.geteuid():
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
    except OSError:
        pass
    os.close(file)
    return None
