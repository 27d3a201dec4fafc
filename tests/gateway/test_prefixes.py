import threading

import pytest

from gateway.prefixes import PrefixMemory, _digests

BODY = b"".join(b"%06d " % i for i in range(20_000))


async def test_a_first_body_is_cold_and_the_same_again_is_warm() -> None:
    memory = PrefixMemory()
    assert await memory.warm_share("main", "m", BODY) == 0
    assert await memory.warm_share("main", "m", BODY) > 0.98


async def test_a_longer_body_is_warm_up_to_where_it_differs() -> None:
    memory = PrefixMemory()
    await memory.warm_share("main", "m", BODY)
    share = await memory.warm_share("main", "m", BODY + BODY)
    assert 0.47 < share <= 0.5


async def test_a_change_at_the_beginning_makes_all_of_it_cold() -> None:
    memory = PrefixMemory()
    await memory.warm_share("main", "m", BODY)
    assert await memory.warm_share("main", "m", b"x" + BODY[1:]) == 0


async def test_models_and_upstreams_have_caches_of_their_own() -> None:
    memory = PrefixMemory()
    await memory.warm_share("main", "m", BODY)
    assert await memory.warm_share("main", "other", BODY) == 0
    assert await memory.warm_share("other", "m", BODY) == 0


async def test_the_memory_is_bounded() -> None:
    memory = PrefixMemory()
    for i in range(9):
        await memory.warm_share("main", str(i), BODY * 200)
    assert await memory.warm_share("main", "0", BODY * 200) == 0


async def test_an_empty_body_is_cold() -> None:
    assert await PrefixMemory().warm_share("main", "m", b"") == 0


async def test_a_long_body_is_looked_through_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noted(owner: bytes, body: bytes) -> list[bytes]:
        threads.append(threading.get_ident())
        return _digests(owner, body)

    monkeypatch.setattr("gateway.prefixes._digests", noted)
    memory = PrefixMemory()
    for size in (65_536, 65_537):
        threads.clear()
        await memory.warm_share("main", "m", b"x" * size)
        assert (threading.get_ident() in threads) == (size == 65_536)
        assert len(threads) == 1


async def test_of_a_body_too_large_to_be_windowed_no_more_is_looked_at_than_a_windowed_one_can_have() -> None:
    memory = PrefixMemory()
    await memory.warm_share("main", "m", b"x" * 20_000_000)
    assert await memory.warm_share("main", "m", b"x" * 20_000_000) == pytest.approx(0.8, abs=0.001)
    assert await memory.warm_share("main", "m", b"x" * 10_000_000) > 0.99
