from demo.cases import cases


def test_there_are_requests_of_every_kind() -> None:
    found = list(cases())
    assert len(found) >= 8, "too many passages are worded differently in this version of Python"
    assert len({case.name for case in found}) == len(found)
    assert any(case.stream for case in found)
    assert any(case.tools for case in found)
    assert any(not case.trimmed for case in found)


def test_every_passage_stands_in_its_prompt() -> None:
    for case in cases():
        prompt = " ".join(" ".join(message["content"] for message in case.messages).split())
        # a tool's result is not there yet: the model asks for it first
        assert (case.passage in prompt) is not case.tools, case.name
