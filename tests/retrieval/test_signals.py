import numpy as np

from retrieval import Atom, Deadline, Document, Floats, Query
from retrieval.prepared import Passages
from retrieval.signals import (
    bridge_signal,
    cheap_signals,
    feedback_signal,
    group_best,
    hop_signal,
    neighbours,
    place_signals,
    rest_signal,
    shifted,
)
from tests.retrieval.reading import read, whole


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


def passages(*texts: str, role: str = "user") -> Passages:
    """One chunk a text."""
    return read(*(whole(text, i, role=role) for i, text in enumerate(texts)))


def test_shifting_stays_within_the_ends() -> None:
    assert shifted(floats(1, 2, 3), 1).tolist() == [0, 1, 2]
    assert shifted(floats(1, 2, 3), -2).tolist() == [3, 0, 0]
    assert shifted(floats(1), 3).tolist() == [0]
    assert neighbours(floats(1, 5, 2)).tolist() == [5, 2, 5]


def test_a_group_is_judged_by_its_best_three() -> None:
    scores = group_best(floats(3, 0, 3, 3, 6), np.array([0, 0, 0, 0, 1], dtype=np.int32))
    assert scores.tolist() == [3, 3, 3, 3, 2]


def test_the_second_hop_follows_names_that_only_the_text_knows() -> None:
    filler = [f"Entry {i} speaks of weather, wind and rain in general terms." for i in range(200)]
    found = passages(
        "The song Ebb Tide was written by Kalina Orlova.",
        *filler,
        "Kalina Orlova grew up in the town of Varn.",
        *filler,
    )
    first = np.zeros(found.size, dtype=np.float32)
    first[0] = 1.0
    hop = hop_signal(found, Query("Where did the writer of Ebb Tide grow up?"), first)
    assert int(np.argmax(hop[1:])) + 1 == 201


def test_a_heading_that_the_best_chunks_name_is_a_bridge() -> None:
    texts = ["The song Ebb Tide was written by Kalina Orlova.", "Born in Varn.", "Born in Lund."]
    heads = ["Ebb Tide", "Kalina Orlova", "Peter Berg"]
    first = floats(1, 0, 0)
    bridge = bridge_signal(read(*map(whole, texts, range(3), heads)), first)
    assert bridge[1] > 0.9
    assert bridge[2] == 0


def test_feedback_finds_the_vocabulary_of_the_best_chunks() -> None:
    filler = [f"Entry {i} speaks of weather and wind." for i in range(20)]
    found = passages("Glaze and kiln temperatures.", "The kiln was too hot for that glaze.", *filler)
    first = np.zeros(found.size, dtype=np.float32)
    first[0] = 1.0
    assert set(np.argsort(-feedback_signal(found, first))[:2].tolist()) == {0, 1}


def test_words_that_only_name_the_document_are_set_aside() -> None:
    text = "# Meeting 4\n\nThe meeting was long. Meeting meeting.\n\nThe budget for the harbour is forty crowns.\n"
    atoms = (Atom(0, 52, "Meeting 4"), Atom(52, len(text), "Meeting 4"))
    other = whole("# Meeting 5\n\nNothing was said.\n", heading="Meeting 5")
    found = read(Document(text, "user", 0, atoms=atoms), other)
    rest = rest_signal(found, Query("In meeting 4: what is the budget?"), floats(2, 2, 1))
    assert int(np.argmax(rest)) == 1
    assert rest[0] < 0.1 * rest[1]


def test_place_counts_from_the_end_of_the_request() -> None:
    place = place_signals(passages("a", "b", "c", role="tool"))
    assert place["messages_from_end"].argmin() == 2
    assert place["from_end"].tolist()[-1] == 0
    assert place["role_tool"].tolist() == [1, 1, 1]
    assert place["role_user"].tolist() == [0, 0, 0]


def test_every_signal_is_finite_but_the_dense_one() -> None:
    documents = [
        Document("# A\n\nSome text.\n", "user", 0),
        Document("\u3000 \n", "tool", 1),
        Document("第一章。", "system", 2),
    ]
    found = read(*documents)
    signals = cheap_signals(found, Query("第一?", ("text",)), Deadline.after(60))
    assert np.isnan(signals.pop("dense")).all()
    assert all(signal.shape == (found.size,) and np.isfinite(signal).all() for signal in signals.values())


def test_what_the_documents_have_words_for_is_known() -> None:
    def known(text: str, *recent: str, role: str = "user") -> float:
        found = read(whole("The lease ends in May.", 0, "Harbour", role), whole("Nothing here.", 1))
        return float(cheap_signals(found, Query(text, recent), Deadline.after(60))["query_known"][0])

    assert known("lease ends May") == 1.0
    assert known("harbour") == 1.0
    assert known("Wann läuft es ab?") == known("") == 0.0
    assert 0.2 < known("lease Laufzeit") < 0.8
    assert known("那个呢？", "lease ends") == 0.0
    assert known("那个呢？", "lease ends", role="tool") == 1.0
