"""Questions that say nothing by themselves."""

import pytest

from gateway.windowing.conversation import read
from gateway.windowing.following import leaning_on
from tests.gateway.windowing.windows import WORDS, forwarded, request, run


@pytest.mark.parametrize("asked", ["why?", "And the others?", "Warum?", "それは？"])
def test_a_question_that_says_nothing_by_itself_leans_on_the_one_before(asked: str) -> None:
    fact = "The contract with Helvex was terminated because two shipments contained counterfeit bearings."
    filler = [f"Paragraph {n} is about {WORDS[n % 50]} and {WORDS[n % 37]} in part {n}." for n in range(900)]
    document = "\n\n".join([*filler[:500], fact, *filler[500:]])
    before = {"role": "user", "content": f"{document}\n\nWas the contract with Helvex terminated?"}
    after = {"role": "assistant", "content": "Yes."}
    messages = forwarded(run(request(before, after, {"role": "user", "content": asked})))
    assert fact in messages[0]["content"]


def test_it_leans_on_the_last_question_that_says_something_and_on_the_answer_s_ends() -> None:
    conversation = read(
        b"""{"messages": [{"role": "user", "content": "Is this one left out, as it lies too far behind the others?"},
        {"role": "user", "content": "Was the contract with Helvex terminated before the end of May?"},
        {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "When?"},
        {"role": "assistant", "content": "In March.  """
        + b"x" * 400
        + b""" Shall I look for the reason?"}, {"role": "user", "content": "ok"}]}"""
    )
    assert conversation is not None
    found = leaning_on(conversation.messages, 5)
    assert found.startswith("When?\nWas the contract with Helvex terminated before the end of May?\nIn March.")
    assert found.endswith("Shall I look for the reason?")
    assert "left out" not in found
    assert leaning_on(conversation.messages, 0) == ""
