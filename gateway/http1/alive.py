"""TCP's sign of life: a connection on which a model thinks for minutes says nothing, and is not to be taken for dead.

Whoever stands between (NAT, load balancers, firewalls) forgets it after as little as four minutes; and a peer that is
gone without a word is noticed.
"""

import socket
from collections.abc import Iterator
from typing import Protocol

_TIMES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 5))  # seconds, seconds, signs without an answer


class _Settable(Protocol):
    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...


def keep_alive(connected: _Settable) -> None:
    """Have the kernel give signs of life on a silent connection, or on all that a listening socket accepts."""
    for option in _options():
        connected.setsockopt(*option)


def _options() -> Iterator[tuple[int, int, int]]:
    yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
    for name, value in _TIMES:
        if hasattr(socket, name):  # or the system's own times hold
            yield socket.IPPROTO_TCP, getattr(socket, name), value
