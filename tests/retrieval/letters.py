"""An embedder for tests: a real, if simple, vector of a text."""

from collections.abc import Sequence

import numpy as np

from retrieval import Deadline, Floats


class LetterEmbedder:
    """Counts letters; remembers what it was asked for, and fails like a model when there is no time at all."""

    dimension = 26

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str], deadline: Deadline) -> Floats:
        deadline.check()
        self.asked.extend(texts)
        counts = np.array([[t.lower().count(chr(97 + i)) + 0.01 for i in range(26)] for t in texts], dtype=np.float32)
        unit: Floats = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit
