"""Receipts as bytes."""

import random

from gateway.store.receipts import Receipt, Span, SpanKind, packed, unpacked


def spans(number: int) -> tuple[Span, ...]:
    chance = random.Random(5)
    return tuple(
        Span(SpanKind.CHUNK, chance.randrange(20, 120), round(chance.random(), 3), chance.random() < 0.1)
        for _ in range(number)
    )


def test_a_receipt_is_packed_and_unpacked() -> None:
    full = Receipt(id="r1", team="ü", time=1.5, spans=spans(9), stages=(("rank", 1.25),), attempts=("main: answered",))
    assert unpacked(packed(full)) == full
    assert isinstance(unpacked(packed(full)).spans[0], Span)


def test_that_of_a_very_long_prompt_is_small() -> None:
    assert len(packed(Receipt(id="r1", team="t", time=1.5, spans=spans(2000)))) < 16_000
