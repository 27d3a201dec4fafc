from gateway.prefixes import PrefixMemory

BODY = b"".join(b"%06d " % i for i in range(20_000))


def test_a_first_body_is_cold_and_the_same_again_is_warm() -> None:
    memory = PrefixMemory()
    assert memory.warm_share("main", "m", BODY) == 0
    assert memory.warm_share("main", "m", BODY) > 0.98


def test_a_longer_body_is_warm_up_to_where_it_differs() -> None:
    memory = PrefixMemory()
    memory.warm_share("main", "m", BODY)
    share = memory.warm_share("main", "m", BODY + BODY)
    assert 0.47 < share <= 0.5


def test_a_change_at_the_beginning_makes_all_of_it_cold() -> None:
    memory = PrefixMemory()
    memory.warm_share("main", "m", BODY)
    assert memory.warm_share("main", "m", b"x" + BODY[1:]) == 0


def test_models_and_upstreams_have_caches_of_their_own() -> None:
    memory = PrefixMemory()
    memory.warm_share("main", "m", BODY)
    assert memory.warm_share("main", "other", BODY) == 0
    assert memory.warm_share("other", "m", BODY) == 0


def test_the_memory_is_bounded() -> None:
    memory = PrefixMemory()
    for i in range(5):
        memory.warm_share("main", str(i), BODY * 200)
    assert memory.warm_share("main", "0", BODY * 200) == 0


def test_an_empty_body_is_cold() -> None:
    assert PrefixMemory().warm_share("main", "m", b"") == 0
