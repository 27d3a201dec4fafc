"""How large a window is: as large as was asked for, or as large as the confidence that was asked for needs."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.windowing.keep import Keeper, Kept
from gateway.windowing.measuring import AsItIsError
from gateway.windowing.types import Reason, WindowPolicy
from retrieval.confidence import confidence
from retrieval.selection import select, surrounded
from retrieval.types import Ranking

_TRIES = 6
_AROUND_TOKENS = 200  # for the best neighbours of what was selected, beside the window
# For all that stays with what was selected (neighbours, short gaps, answers, names of records): a share of the window
# at most, in a small one this many tokens, less than which two passages can hardly be joined by.
_COMPANY = 0.5
_COMPANY_TOKENS = 500
_GROWTH = 1.25  # from one size of an elastic window to the next


@dataclass(frozen=True, slots=True)
class Sized:
    """What a window keeps, and the share of the evidence that is expected inside."""

    kept: Kept
    confidence: float


def sized(keeper: Keeper, ranking: Ranking, policy: WindowPolicy, free_tokens: int) -> Sized:
    """Return the window of a ranking; `free_tokens` is what protected turns leave of policy.window_tokens.

    Without a target confidence its size is fixed. With one, the smallest window that reaches it.

    Raises:
        AsItIsError: LOW_CONFIDENCE, no window up to policy.max_window_tokens reaches the target.
    """
    free = max(0.0, free_tokens / policy.window_tokens)
    if policy.target_confidence is None:
        return _measured(keeper, ranking, free_tokens, free)
    for size in _sizes(policy):
        # The selection alone is estimated first: most sizes fall short, and closing them would be for nothing.
        if confidence(ranking, select(ranking, int(free * size)), free) < policy.target_confidence:
            continue
        found = _measured(keeper, ranking, int(free * size), free)
        if found.confidence >= policy.target_confidence:
            return found
    raise AsItIsError(Reason.LOW_CONFIDENCE, f"no window of {policy.max_window_tokens} tokens or less is sure enough")


def _sizes(policy: WindowPolicy) -> Iterator[int]:
    size = float(policy.min_window_tokens)
    while size < policy.max_window_tokens:
        yield int(size)
        size *= _GROWTH
    yield policy.max_window_tokens


def _measured(keeper: Keeper, ranking: Ranking, window_tokens: int, free: float) -> Sized:
    kept = fitted(keeper, ranking, window_tokens)
    return Sized(kept, confidence(ranking, kept.chunks, free))


def fitted(keeper: Keeper, ranking: Ranking, window_tokens: int) -> Kept:
    """Return the selection that fills the window; a smaller one where too much has to stay with it."""
    most = window_tokens + max(int(_COMPANY * window_tokens), _COMPANY_TOKENS) + keeper.owed
    budget = window_tokens
    kept = keeper.close(surrounded(ranking, select(ranking, budget), _AROUND_TOKENS))
    best = kept
    for _ in range(_TRIES):
        if kept.tokens <= most:
            return kept
        budget = min(budget - 1, int(budget * (most / kept.tokens) ** 1.05))
        if budget <= 0:
            break
        kept = keeper.close(select(ranking, budget))
        best = min(best, kept, key=lambda k: k.tokens)
    return best
