"""The demonstration's requests: real long texts, a question on each, and the passage that its answer needs."""

import importlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo import texts

Messages = list[dict[str, Any]]
SYSTEM = "You are a helpful assistant. Answer from the document, in one sentence."
SEARCH: Any = {
    "type": "function",
    "function": {
        "name": "search_library",
        "description": "Search the functions of Python's standard library.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}
_CATALOGUE = ("textwrap", "shutil", "statistics", "random", "difflib", "calendar", "heapq", "bisect", "inspect", "ast")


@dataclass(frozen=True, slots=True)
class Case:
    """One request; `passage` must reach the upstream, `trimmed` says whether the prompt is to be cut at all."""

    name: str
    messages: Messages
    passage: str
    trimmed: bool = True
    stream: bool = False
    tools: bool = False


def _user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def catalogue() -> str:
    """Return what the demo's tool answers: functions of the standard library with their documentation, as JSON."""
    return json.dumps([entry for module in _CATALOGUE for entry in _functions(module)])


def _functions(module: str) -> Iterator[dict[str, str]]:
    for name, function in inspect.getmembers(importlib.import_module(module), inspect.isfunction):
        if function.__module__ == module and not name.startswith("_"):
            signature = f"{name}{inspect.signature(function)}"
            yield {"module": module, "function": name, "signature": signature, "doc": inspect.getdoc(function) or ""}


def cases() -> Iterator[Case]:
    """Yield the requests whose passage stands in this Python's texts; another version may word it differently."""
    return (case for case in _all_cases() if case.passage in _plain(catalogue() if case.tools else _content(case)))


def _content(case: Case) -> str:
    return "\n".join(message["content"] for message in case.messages)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _all_cases() -> Iterator[Case]:
    yield Case(
        "document, question",
        [
            _system(SYSTEM),
            _user(
                texts.reference("compound", "execmodel", "import")
                + "\n\nWhen is the else clause of a while loop executed?"
            ),
        ],
        "if the expression is false (which may be the first time it is tested)",
    )
    yield Case(
        "question first",
        [
            _system(SYSTEM),
            _user("How do I set a temporary breakpoint?\n\nThe manual:\n\n" + texts.reference("debugger", "types")),
        ],
        "Temporary breakpoint, which is removed automatically when it is first hit.",
    )
    yield Case(
        "document in system",
        [
            _system(
                "Answer from the reference below, briefly.\n\n<reference>\n"
                + texts.reference("specialnames")
                + "\n</reference>"
            ),
            _user("When is __init_subclass__ called?"),
        ],
        "This method is called whenever the containing class is subclassed.",
    )
    yield Case(
        "document in history",
        [
            _user("Please read this:\n\n" + texts.reference("formatstrings", "string-methods")),
            {"role": "assistant", "content": "I have read it. What would you like to know?"},
            _user("Which option gives me a comma as thousands separator?"),
        ],
        "option signals the use of a comma for a thousands separator",
    )
    yield Case(
        "streaming",
        [
            _system(SYSTEM),
            _user(texts.reference("string-methods", "typesseq") + "\n\nWhat is casefolding good for?"),
        ],
        "Casefolding is similar to lowercasing but more aggressive",
        stream=True,
    )
    yield Case(
        "tool call, JSON",
        [_user("Which function collapses and truncates a text so that it fits in a given width?")],
        "Collapse and truncate the given text to fit in the given width.",
        tools=True,
    )
    yield Case(
        "code",
        [
            _system("You are a code assistant."),
            _user(
                texts.source("shutil", "heapq", "textwrap", "statistics")
                + "\n\nIn which function is the zip archive of a directory tree made?"
            ),
        ],
        "def _make_zipfile(",
    )
    yield Case(
        "needle in 100K",
        [
            _system(SYSTEM),
            _user(
                texts.reference()
                + "\n\nAre __del__ methods guaranteed to be called for objects when the interpreter exits?"
            ),
        ],
        "methods are called for objects that still exist when the interpreter exits.",
    )
    yield Case(
        "short prompt",
        [_system(SYSTEM), _user("Is 17 a prime number?")],
        "Is 17 a prime number?",
        trimmed=False,
    )
    yield Case(
        "whole document",
        [_user("Summarise this document in five sentences.\n\n" + texts.reference("debugger"))],
        "Temporary breakpoint, which is removed automatically when it is first hit.",
        trimmed=False,
    )
