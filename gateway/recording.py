"""Handing finished requests' records on, several at once and off their clients' path."""

import asyncio
from collections.abc import Callable, Sequence

from gateway import logs
from gateway.record import RequestRecord

Recorder = Callable[[Sequence[RequestRecord]], None]

# What is written or counted of one request costs as much as of several together.
_TOGETHER_S = 0.02
_MOST = 16  # together: nearly all of that is saved, and nobody waits long for it


class Recording:
    """Collects records for a moment, then gives them to each recorder."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders
        self._waiting: list[RequestRecord] = []

    def __call__(self, record: RequestRecord) -> None:
        """Take over a record; returns at once."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_TOGETHER_S, self.flush)
        elif len(self._waiting) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Hand on all that is here, to every recorder, whatever becomes of it at another."""
        records, self._waiting = self._waiting, []
        for recorder in self._recorders if records else ():
            _given(records, recorder)


def _given(records: Sequence[RequestRecord], recorder: Recorder) -> None:
    try:
        recorder(records)
    except Exception as error:  # noqa: BLE001 - the others, and whoever ends these requests, go on all the same
        logs.event("request_not_recorded", count=len(records), error=type(error).__name__, where=logs.place(error))
