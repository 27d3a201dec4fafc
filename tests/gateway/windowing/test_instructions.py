"""Which parts of a system message may be trimmed: material, never instructions."""

from pydoc_data import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.windowing.instructions import PROTECTED_SIZE, directives, reference_spans

_TOPICS = [text for _, text in sorted(topics.topics.items()) if len(text) > 1500]


def _prose(size: int, first: int = 0) -> str:
    text = ""
    at = first
    while len(text) < size:
        text += _TOPICS[at % len(_TOPICS)] + "\n\n"
        at += 1
    return text[:size].rsplit("\n\n", 1)[0]


_HEADS = (
    "You are a helpful assistant. Answer from the following material only.",
    "You are the support bot of a shop. Be polite.\n\nUse the documents below to answer the customer:",
    "Answer from the document alone.",
    "Work with this text.",
    "The repository's files:",
    "Here is the transcript of the meeting:",
    "Du bist ein Assistent. Beantworte Fragen anhand der folgenden Dokumente:",
    "Réponds à partir des documents suivants :",
    "以下の資料だけを使って答えてください。",
    "请根据以下文档回答问题。",
    "You are an analyst.\n\n# Rules\n- Never guess.\n- Always cite.\n\n# Context:",
)
_GLUED = (  # LangChain's and RAGFlow's: no blank line before the material
    "Use the following pieces of context to answer the question.\nIf you don't know the answer, say so.\n------",
    "You are an assistant. When the knowledge base does not help, say so.\n      Here is the knowledge base:",
    "你是一个智能助手，请总结知识库的内容来回答问题。\n以下是知识库：",
)
_TAILS = (
    "",
    "Always answer in French and cite the section.",
    "Do not use anything else.\n\nIf the answer is not there, say so.",
    "Antworte immer auf Deutsch. Du musst die Quelle nennen.",
    "請用中文回答。",
)
_MATERIALS = {
    "prose": _prose(20_000),
    "documents": "\n\n".join(f"--- Document {n}: Title {n} ---\n{_prose(4000, n)}" for n in range(5)),
    "elements": "\n\n".join(f'<document title="T {n}">\n{_prose(4000, n)}\n</document>' for n in range(5)),
    "titles": "\n\n".join(f"# Title {n}\n\n{_prose(4000, n)}" for n in range(5)),
    "files": "\n\n".join(f"### src/a{n}.py\n```python\n" + "x = 1\ny = x + 2\n" * 200 + "```" for n in range(5)),
}


@pytest.mark.parametrize("material", _MATERIALS.values(), ids=_MATERIALS)
@pytest.mark.parametrize("head", [*_HEADS, *_GLUED])
def test_material_may_go_and_both_ends_stay(head: str, material: str) -> None:
    between = "\n" if head in _GLUED else "\n\n"
    for tail in _TAILS:
        text = f"{head}{between}{material}\n\n{tail}"
        spans = reference_spans(text)
        assert sum(end - start for start, end in spans) > 0.8 * len(material)
        assert spans[0][0] >= len(head)
        assert spans[-1][1] <= len(text) - len(tail)


def test_marked_documents_need_no_introduction() -> None:
    for name in ("documents", "elements", "files"):
        text = f"You are a careful clerk.\n\n{_MATERIALS[name]}"
        spans = reference_spans(text)
        assert sum(end - start for start, end in spans) > 0.8 * len(_MATERIALS[name])


def test_instructions_between_documents_stay() -> None:
    rules = "You must never reveal the discount codes. Always greet the customer by name."
    text = f"{_MATERIALS['elements']}\n\n{rules}\n\n{_MATERIALS['elements']}"
    spans = reference_spans(text)
    assert len(spans) == 2
    assert all(end <= text.index(rules) or start >= text.index(rules) + len(rules) for start, end in spans)


def _policy(rules: int) -> str:
    return "# Policy\n\n" + "\n".join(
        f"- If the customer asks for case {n}, you must check the account first. Never promise refund {n}."
        for n in range(rules)
    )


_PROTECTED = {
    "short": f"Answer from the following documents:\n\n{_prose(PROTECTED_SIZE - 600)}",
    "policy": _policy(300),
    "announced policy": "Use the following information to serve the customer.\n\n" + _policy(300),
    "policy in elements": f"<rules>\n{_policy(150)}\n</rules>\n\n<context>\n{_policy(150)}\n</context>",
    "examples": "\n\n".join(
        f"<example>\nuser: what about {n}?\nassistant: {_prose(1500, n)}\n</example>" for n in range(8)
    ),
    "announced examples": "You are a tagger.\n\nHere are some example conversations:\n\n"
    + "\n\n".join(f"User: {_prose(300, n)}\nAssistant: [tag {n}]" for n in range(40)),
    "conversations to imitate": "You are a tagger.\n\nFollow the style of the following conversations:\n"
    + "\n\n".join(f"User: {_prose(300, n)}\nAssistant: [tag {n}]" for n in range(40)),
    "skill with fences": "\n\n".join(
        f"## Step {n}\n\nRun the following code, then look at the files below:\n\n```python\n{'print(1)' * 200}\n```"
        for n in range(12)
    ),
    "guide without introduction": _prose(20_000),
    "tools": "You can call these tools.\n<tools>\n"
    + ",\n".join(f'{{"name": "t{n}", "parameters": {{"type": "object", "properties": {{}}}}}}' for n in range(200))
    + "\n</tools>",
}


@pytest.mark.parametrize("text", _PROTECTED.values(), ids=_PROTECTED)
def test_instructions_are_protected_whole(text: str) -> None:
    assert reference_spans(text) == ()


def test_few_tokens_are_protected_whole() -> None:
    text = f"{_HEADS[0]}\n\n{_MATERIALS['prose']}"
    assert reference_spans(text, lambda part: len(part) // 100) == ()
    assert reference_spans(text, lambda part: len(part) // 4) != ()


def test_policies_instruct_and_prose_does_not() -> None:
    assert directives(_policy(50)) > 5
    assert directives(_prose(20_000)) < 2


_PIECE = st.sampled_from(
    ["Context:\n\n", "<doc>\n", "\n</doc>", "```\n", "# a.py\n```\n", "You must. ", "\n\n", "following documents:\n\n"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_PIECE | st.just(_prose(2500)) | st.text(max_size=10), max_size=30))
def test_spans_are_ascending_disjoint_and_within(pieces: list[str]) -> None:
    text = "".join(pieces)
    edges = [edge for span in reference_spans(text) for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)


@pytest.mark.parametrize(
    "unit", ["<doc>", "```\n", "{\n", "\n", "Context:\n", "- you must\n", "# a.py\n```\n", "Document 1\n"]
)
def test_repeated_boundaries_take_linear_work(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    assert all(0 <= start < end <= len(text) for start, end in reference_spans(text))


_ORDERS = (
    "Important: never reveal salaries, always answer in Portuguese.",
    "# Your rules\n\n- never reveal salaries\n- always answer in Portuguese",
)


@pytest.mark.parametrize("orders", _ORDERS)
def test_orders_between_the_material_stay(orders: str) -> None:
    text = f"Use the following handbook:\n\n{_prose(12_000)}\n\n{orders}\n\n{_prose(12_000, 9)}"
    at = text.index("never reveal"), text.index("Portuguese") + len("Portuguese")
    spans = reference_spans(text)
    assert all(end <= at[0] or start >= at[1] for start, end in spans)
    assert sum(end - start for start, end in spans) > 0.9 * len(text)


def test_a_handbook_of_orders_is_material_as_a_whole() -> None:
    rule = "The machine must not run alone. Never open the cover, and always wear gloves."
    text = "Use the following handbook:\n\n" + "\n\n".join([_prose(2000, n) + f"\n\n{rule}" for n in range(14)])
    assert len(reference_spans(text)) == 1
