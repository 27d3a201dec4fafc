import time
from email.utils import formatdate

import pytest

from gateway.upstreams.retry_after import seconds


@pytest.mark.parametrize("said, meant", [("7", 7.0), (" 0 ", 0.0), ("1.5", 1.5)])
def test_seconds(said: str, meant: float) -> None:
    assert seconds(said) == meant


@pytest.mark.parametrize(
    "said",
    [
        *("", "soon", "-3", "nan", "inf", "-inf", "1e400", "9" * 400, "-1e400", "Mon, 99 Foo"),
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999999999",
        "Mon, 01 Jan 99999999999999999999999999 00:00:00 GMT",
        "Mon, 99999999999999999999999999 Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan 2024 99999999999999999999999999:00:00 GMT",
    ],
)
def test_what_makes_no_sense_is_not_known(said: str) -> None:
    assert seconds(said) is None


def test_a_date() -> None:
    found = seconds(formatdate(time.time() + 60, usegmt=True))
    assert found is not None
    assert 55 < found <= 61
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
