from pydoc_data.topics import topics

from hypothesis import given
from hypothesis import strategies as st

from retrieval import counter_for
from retrieval.blocks import LEAST, groups, spans

MANUAL = "\n".join(text for _, text in sorted(topics.items()))[:400_000]
lines = st.sampled_from(
    ["A line of some words.", "    indented()", "", "第一章。", "x" * 900, "12 boats\t", "\r", "* item"]
)


def blocks(text: str) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


@given(st.lists(st.one_of(lines, st.text()), max_size=30), st.integers(1, 40))
def test_blocks_are_the_text(parts: list[str], times: int) -> None:
    text = "\n".join(parts * times)
    assert "".join(blocks(text)) == text
    assert all(blocks(text))


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_what_stands_before_and_after_moves_few_cuts(before: str, after: str) -> None:
    known = set(blocks(MANUAL))
    around = blocks(f"{before}\n\n{MANUAL}\n\n{after}")
    assert sum(len(block) for block in around if block not in known) < 0.25 * len(MANUAL)


def test_blocks_are_of_moderate_size() -> None:
    sizes = list(map(len, blocks(MANUAL)))
    assert max(sizes) < 26_000
    assert 6_000 < sum(sizes) / len(sizes) < 12_000


@given(st.lists(lines, min_size=1, max_size=12), st.sampled_from(["gpt-4o", "gpt-4"]))
def test_tokens_of_blocks_add_up_exactly(parts: list[str], model: str) -> None:
    text = "\n".join(parts * 60)[:40_000]
    counter = counter_for(model)
    assert sum(map(counter.count, blocks(text))) == counter.count(text)


def test_only_the_last_block_is_short() -> None:
    assert min(map(len, blocks(MANUAL)[:-1])) > LEAST


def test_equal_lines_are_cut_too() -> None:
    assert max(map(len, blocks("the same line\n" * 20_000))) < 26_000


def test_a_text_without_such_lines_is_one_block() -> None:
    assert list(spans("x" * 100_000)) == [(0, 100_000)]
    assert list(spans("")) == []


@given(st.lists(st.text(max_size=2000), max_size=60))
def test_groups_are_all_texts_in_order(texts: list[str]) -> None:
    assert [text for start, end in groups(texts) for text in texts[start:end]] == texts


def test_one_text_more_moves_few_groups() -> None:
    texts = [f"Turn {n} speaks of the weather. " * 5 for n in range(1000)]
    known = {tuple(texts[a:b]) for a, b in groups(texts)}
    longer = ["A first turn.", *texts, "A last turn."]
    fresh = [(a, b) for a, b in groups(longer) if tuple(longer[a:b]) not in known]
    assert sum(b - a for a, b in fresh) < 250
