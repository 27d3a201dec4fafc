"""Whether a request needs the whole context (summarise, translate, rewrite, count) or looks something up in it."""

import re

_WHOLE = re.compile(
    r"\b(?:summari[sz]e|summary|tl;?dr|translate|rewrite|rephrase|paraphrase|proofread|count|compare|outline"
    r"|overview|list all"
    r"|extract all|convert)\b|总结|摘要|概括|翻译|要約|翻訳",
    re.IGNORECASE,
)


def whole_context_probability(query: str) -> float:
    """Estimate the probability that a request needs the whole context."""
    return 0.9 if _WHOLE.search(query) else 0.1


def needs_whole_context(query: str, context_tokens: int = 0) -> bool:
    """Whether a request needs the whole context; `context_tokens` is the size of what it would be read from."""
    del context_tokens
    return whole_context_probability(query) >= 0.5
