from benchmarks.bench_added import document, unseen
from retrieval.tokens import counter_for


def test_documents_have_about_the_size_that_is_asked_for() -> None:
    for size in (8_000, 128_000):
        assert abs(counter_for("gpt-4o-mini").count(document(size)) - size) < size * 0.1


def test_an_unseen_text_shares_no_paragraph_with_another() -> None:
    texts = [unseen(document(8_000), run, 8_000) for run in ("1", "2")]
    one, two = (set(text.split("\n\n")) for text in texts)
    assert one & two <= {""}
    assert all(abs(counter_for("gpt-4o-mini").count(text) - 8_000) < 800 for text in texts)
