from gateway.windowing.strip import HIGHEST, Strip, packed, unpacked


def test_a_strip_is_packed_and_unpacked() -> None:
    strip = Strip("Why?", "pcg", (4, 60, 8), (-1, HIGHEST, -1), "ynn")
    assert unpacked(packed(strip)) == strip


def test_that_of_a_long_prompt_takes_few_bytes() -> None:
    size = 2000
    strip = Strip("Why?", "c" * size, (60,) * size, tuple(range(size)), "n" * size)
    assert len(packed(strip)) < 6 * size + 100
