import json
import threading
from typing import Any

import pytest

from gateway.prefixes import PrefixMemory, _Section, _sections, tokens_of
from retrieval.tokens import counter_for

TEXT = b"".join(b"%06d " % i for i in range(20_000))
OTHER = TEXT.replace(b"1", b"x")


def chat(text: bytes = TEXT, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None) -> bytes:
    messages = [{"role": "user", "content": text.decode()}]
    return json.dumps({**(before or {}), "messages": messages, **(after or {})}).encode()


async def test_a_first_prompt_is_cold_and_the_same_again_is_warm() -> None:
    memory = PrefixMemory()
    assert await memory.remember("main", "m", chat()) == b""
    assert len(await memory.remember("main", "m", chat())) > len(TEXT)


async def test_a_longer_prompt_is_warm_up_to_where_it_differs_and_no_less() -> None:
    memory = PrefixMemory()
    await memory.remember("main", "m", chat())
    warm = await memory.remember("main", "m", chat(TEXT + TEXT))
    assert len(TEXT) <= len(warm) < len(TEXT) + 5_000


async def test_a_change_at_the_beginning_makes_all_of_it_cold() -> None:
    memory = PrefixMemory()
    await memory.remember("main", "m", chat())
    assert await memory.remember("main", "m", chat(b"x" + TEXT)) == b""


@pytest.mark.parametrize("fields", [{"user": "u%d"}, {"temperature": "%d"}, {"metadata": {"run": "%d"}}])
@pytest.mark.parametrize("place", ["before", "after"])
async def test_what_no_cache_sees_changes_nothing(fields: dict[str, Any], place: str) -> None:
    memory = PrefixMemory()
    first, second = (json.loads(json.dumps(fields).replace("%d", str(number))) for number in (1, 22))
    await memory.remember("main", "m", chat(**{place: first}))
    assert len(await memory.remember("main", "m", chat(**{place: second}))) > len(TEXT)


async def test_tools_alone_are_warm_too_wherever_they_stand() -> None:
    tools = {"tools": [{"type": "function", "function": {"name": "f", "description": TEXT.decode()}}]}
    memory = PrefixMemory()
    await memory.remember("main", "m", chat(TEXT, before=tools))
    await memory.remember("main", "m", chat(before=tools))
    for body in (chat(b"1" + OTHER, before=tools), chat(b"2" + OTHER, after={**tools, "user": "u"})):
        assert len(TEXT) <= len(await memory.remember("main", "m", body))


async def test_a_response_s_input_and_instructions_count() -> None:
    memory = PrefixMemory()
    for user, warm in (("a", False), ("bb", True)):
        body = json.dumps({"user": user, "input": TEXT.decode(), "instructions": OTHER.decode()}).encode()
        assert (len(await memory.remember("main", "m", body)) > 2 * len(TEXT)) == warm


async def test_models_and_upstreams_have_caches_of_their_own() -> None:
    memory = PrefixMemory()
    await memory.remember("main", "m", chat())
    assert await memory.remember("main", "other", chat()) == b""
    assert await memory.remember("other", "m", chat()) == b""


@pytest.mark.parametrize(("asked", "warm"), [(False, False), (True, True)])
async def test_a_prefix_is_forgotten_when_its_provider_forgets_it(
    monkeypatch: pytest.MonkeyPatch, asked: bool, warm: bool
) -> None:
    memory, now = PrefixMemory(), 1000.0
    monkeypatch.setattr("gateway.prefixes.time.monotonic", lambda: now)
    await memory.remember("main", "m", chat(), a_day=asked)
    now += 599
    assert await memory.remember("main", "m", chat())
    now += 3600
    assert bool(await memory.remember("main", "m", chat())) == warm
    now += 86_400
    assert not await memory.remember("main", "m", chat())


async def test_the_memory_is_bounded() -> None:
    memory = PrefixMemory()
    for i in range(9):
        await memory.remember("main", str(i), TEXT * 200)
    assert await memory.remember("main", "0", TEXT * 200) == b""


@pytest.mark.parametrize("times", [1, 3])
async def test_one_that_is_noted_is_known_a_moment_later(times: int) -> None:
    memory, body = PrefixMemory(), chat(TEXT * times)
    reading = memory.read(body)
    assert reading is not None
    memory.note("main", "m", reading)
    await reading
    assert not memory._reading
    assert len(await memory.remember("main", "m", body)) > times * len(TEXT)
    assert await memory.remember("main", "other", body) == b""


async def test_one_that_is_too_short_to_be_cached_is_not_read() -> None:
    assert PrefixMemory().read(b"x" * 4096) is None


async def test_an_empty_body_is_cold() -> None:
    assert await PrefixMemory().remember("main", "m", b"") == b""


async def test_a_long_body_is_looked_through_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noted(body: bytes) -> list[_Section]:
        threads.append(threading.get_ident())
        return _sections(body)

    monkeypatch.setattr("gateway.prefixes._sections", noted)
    memory = PrefixMemory()
    for size in (262_144, 262_145):
        threads.clear()
        await memory.remember("main", "m", b"x" * size)
        assert (threading.get_ident() in threads) == (size == 262_144)
        assert len(threads) == 1


async def test_of_a_body_too_large_to_be_windowed_no_more_is_looked_at_than_a_windowed_one_can_have() -> None:
    memory = PrefixMemory()
    await memory.remember("main", "m", b"x" * 20_000_000)
    assert len(await memory.remember("main", "m", b"x" * 20_000_000)) == 16_000_000


@pytest.mark.parametrize("size", [100, 60_000])
async def test_a_warm_part_has_the_tokens_that_it_has(size: int) -> None:
    assert await tokens_of("gpt-4o", TEXT[:size]) == counter_for("gpt-4o").count(TEXT[:size].decode())
