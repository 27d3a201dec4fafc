import pytest

from gateway.http1.errors import BrokenError, NotConnectedError, SilentError, WireError


@pytest.mark.parametrize("kind", [BrokenError, NotConnectedError, SilentError])
def test_each_is_told_apart_and_all_are_of_the_wire(kind: type[WireError]) -> None:
    others = {BrokenError, NotConnectedError, SilentError} - {kind}
    assert issubclass(kind, WireError)
    assert not any(issubclass(kind, other) for other in others)
    assert not issubclass(kind, OSError)  # or who handles the system's errors would take them for those
