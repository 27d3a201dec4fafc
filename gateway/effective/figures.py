"""What comes of the answers: accuracy by length, the effective context, what windowing saved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from gateway.effective.asking import Answer
from gateway.effective.trial import Asked
from gateway.pricing import PriceBook

WITHIN = 0.95  # of its peak: as far as accuracy stays there, the context is effective
_Z = 1.96  # 95 in 100 times


@dataclass(frozen=True, slots=True)
class Way:
    """The questions of one length, asked one way.

    `low` and `high` hold the accuracy 95 in 100 times (Wilson's score interval: E. B. Wilson, JASA 22(158), 1927).
    `began_ms` is the median to the first piece of an answer, `usd` the upstream's bill; None where it is not known.
    """

    right: int
    accuracy: float
    low: float
    high: float
    began_ms: float | None
    prompt_tokens: int
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Length:
    """The questions of one length: both ways, and how many were windowed."""

    tokens: int
    questions: int
    windowed: int
    direct: Way
    through: Way


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found; `effective_*` in tokens of the caller's prompt, 0 where no length is within reach.

    `lost` questions were answered right directly and wrong through the gateway, `won` the other way round, and
    `by_chance` is how often a fair coin falls as unevenly (the sign test).
    """

    lengths: tuple[Length, ...]
    effective_direct: int
    effective_through: int
    lost: int
    won: int
    by_chance: float


def found(asked: Sequence[Asked], model: str, prices: PriceBook) -> Found:
    """Return what the answers say."""
    tokens = sorted({one.length for one in asked})
    lengths = tuple(_length(size, [one for one in asked if one.length == size], model, prices) for size in tokens)
    peak = max(max(one.direct.accuracy, one.through.accuracy) for one in lengths)
    direct, through = ([one.right[way] for one in asked] for way in (0, 1))
    lost = sum(a and not b for a, b in zip(direct, through, strict=True))
    won = sum(b and not a for a, b in zip(direct, through, strict=True))
    reach = [
        _effective([(one.tokens, way.accuracy) for one, way in zip(lengths, ways, strict=True)], peak)
        for ways in ([one.direct for one in lengths], [one.through for one in lengths])
    ]
    return Found(lengths, reach[0], reach[1], lost, won, _by_chance(lost, won))


def _length(tokens: int, asked: Sequence[Asked], model: str, prices: PriceBook) -> Length:
    ways = (
        _way([one.direct for one in asked], sum(one.right[0] for one in asked), model, prices),
        _way([one.through for one in asked], sum(one.right[1] for one in asked), model, prices),
    )
    return Length(tokens, len(asked), sum(one.through.windowed for one in asked), *ways)


def _way(answers: Sequence[Answer], right: int, model: str, prices: PriceBook) -> Way:
    used = [answer.usage for answer in answers if answer.usage]
    costs = [prices.cost(model, usage) for usage in used]
    known = [cost for cost in costs if cost is not None]
    said = len(used) == sum(answer.text is not None for answer in answers)
    usd = sum(known, Decimal(0)) if said and len(known) == len(used) else None
    began = [answer.began * 1e3 for answer in answers if answer.began is not None]
    low, high = wilson(right, len(answers))
    prompt = sum(usage.prompt for usage in used)
    return Way(right, right / len(answers), low, high, median(began) if began else None, prompt, usd)


def wilson(right: int, of: int) -> tuple[float, float]:
    """Return between what the true share is, 95 in 100 times."""
    share, spread = right / of, _Z * _Z / of
    middle = share + spread / 2
    reach = _Z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))


def _effective(accuracies: Sequence[tuple[int, float]], peak: float) -> int:
    """Return the longest of the lengths up to which accuracy stays within reach of its peak.

    The peak is the better one of both ways: that one of them is bad at every length makes no context effective.
    """
    longest = 0
    for tokens, accuracy in accuracies:
        if not peak or accuracy < WITHIN * peak - 1e-9:
            break
        longest = tokens
    return longest


def _by_chance(lost: int, won: int) -> float:
    of, fewest = lost + won, min(lost, won)
    uneven: float = 2 * sum(math.comb(of, k) for k in range(fewest + 1)) / 2**of
    return min(1.0, uneven)
