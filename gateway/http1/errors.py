"""What can go wrong between here and an upstream, told apart by what the upstream may have done."""


class WireError(Exception):
    """Something went wrong on the way; the message names no address."""


class NotConnectedError(WireError):
    """No connection came about: nothing was sent."""


class BrokenError(WireError):
    """The connection ended early, or what came on it is not HTTP."""


class SilentError(WireError):
    """The upstream did not answer in time, fell silent, or took too long in all."""
