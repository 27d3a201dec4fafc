"""Long real texts that every machine with Python has: the language reference and the standard library's source."""

import importlib.util
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics


def reference(*names: str) -> str:
    """Return these topics of the language reference, one after the other; all of them without a name."""
    return "\n\n".join(topics[name] for name in names or sorted(topics))


@cache
def source(*modules: str) -> str:
    """Return the source of these modules of the standard library, each under its name."""
    return "\n\n".join(f"# ==== {name} ====\n{_source(name)}" for name in modules)


def _source(module: str) -> str:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(module)
    return Path(found.origin).read_text(encoding="utf-8")
