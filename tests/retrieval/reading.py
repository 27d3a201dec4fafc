"""Reads documents as the retriever does, with nothing kept from another test."""

from retrieval import Atom, Deadline, Document, counter_for
from retrieval.prepared import Passages, Prepared


def read(*documents: Document) -> Passages:
    return Prepared(1 << 20).read(documents, counter_for("gpt-4o"), Deadline.after(60))


def whole(text: str, message: int = 0, heading: str = "", role: str = "user") -> Document:
    """One chunk under a heading."""
    return Document(text, role, message, atoms=(Atom(0, len(text), heading),))
