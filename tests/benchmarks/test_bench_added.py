from benchmarks.bench_added import SIZES, document, turn_of, unseen
from gateway.windowing.conversation import read
from retrieval.tokens import counter_for


def test_documents_have_about_the_size_that_is_asked_for() -> None:
    for size in SIZES:
        assert abs(counter_for("gpt-4o-mini").count(document(size)) - size) < size * 0.1


def test_an_unseen_text_shares_no_paragraph_with_another() -> None:
    texts = [unseen(document(8_000), run, 8_000) for run in ("1", "2")]
    one, two = (set(text.split("\n\n")) for text in texts)
    assert one & two <= {""}
    assert all(abs(counter_for("gpt-4o-mini").count(text) - 8_000) < 800 for text in texts)


def test_a_turn_more_repeats_the_conversation() -> None:
    conversation = read(turn_of("The text."))
    assert conversation is not None
    assert [message.role for message in conversation.messages] == ["user", "assistant", "user"]
    assert conversation.messages[0].texts[0].value.startswith("The text.\n\n")
