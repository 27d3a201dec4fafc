from dataclasses import replace

from gateway.windowing.conversation import Call, Message
from gateway.windowing.turns import Item, items_of, turns_of


def messages(*roles: str, ids: tuple[str, ...] = ("c",)) -> list[Message]:
    """Make messages of these roles; `call` is an assistant message that calls, `tool:x` the result of id x."""
    made = []
    for index, role in enumerate(roles):
        name, _, answers = role.partition(":")
        calls = tuple(Call(i, "f", "{}") for i in ids) if name == "call" else ()
        made.append(
            Message(index, 0, 0, "assistant" if calls else name, calls=calls, answers=answers or "c", understood=True)
        )
    return made


def test_a_call_stays_with_its_results() -> None:
    found = list(items_of(messages("user", "call", "tool:a", "tool:b", "assistant", ids=("b", "a"))))
    assert found == [Item(0, 1), Item(1, 4, group=True), Item(4, 5)]


def test_repeated_ids_are_matched_by_place() -> None:
    found = list(items_of(messages("call", "tool:c", "call", "tool:c")))
    assert found == [Item(0, 2, group=True), Item(2, 4, group=True)]


def test_calls_without_results_and_results_without_calls_are_not_paired() -> None:
    assert [i.paired for i in items_of(messages("call", "user", "tool"))] == [False, True, False]
    assert [i.paired for i in items_of(messages("call", "tool:other"))] == [False]
    assert [i.paired for i in items_of(messages("call", "tool:a", "tool:a", ids=("a", "b")))] == [False]


def test_what_leads_to_calls_stays_with_them_and_they_with_their_results() -> None:
    made = messages("user", "assistant", "call", "call", "tool:a", "tool:a", "call", "user", "assistant", "assistant")
    leading = [
        replace(m, leads=m.index in (1, 2, 3, 6, 8), calls=tuple(Call("a", "f", "{}") for _ in m.calls)) for m in made
    ]
    assert list(items_of(leading)) == [
        Item(0, 1), Item(1, 6, group=True), Item(6, 7, group=True, paired=False), Item(7, 8), Item(8, 10)
    ]  # fmt: skip


def test_turns_begin_with_the_users_messages() -> None:
    made = messages("system", "assistant", "user", "user", "call", "tool", "system", "assistant", "user")
    turns = list(turns_of(made, list(items_of(made))))
    assert [[i.first for i in t.asks] for t in turns] == [[], [2, 3], [8]]
    assert [[i.first for i in t.replies] for t in turns] == [[1], [4, 7], []]
