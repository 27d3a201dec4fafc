from demo.cases import cases


def test_every_passage_stands_in_its_prompt_once_spaces_are_made_even() -> None:
    for case in cases():
        if case.tools:
            continue  # its passage is in the tool's result, which the model asks for first
        prompt = "\n".join(message["content"] for message in case.messages)
        assert case.passage in " ".join(prompt.split()), case.name


def test_there_are_requests_of_every_kind() -> None:
    found = list(cases())
    assert len(found) >= 8
    assert len({case.name for case in found}) == len(found)
    assert any(case.stream for case in found)
    assert any(case.tools for case in found)
    assert any(not case.trimmed for case in found)
