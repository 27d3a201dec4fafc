"""The embedding model as it is made here, beside what sentence-transformers makes of the same files.

`python -m benchmarks.bench_embedding [--rounds 3]`: each in a process of its own, on one thread, in turns: seconds
until it is loaded, memory, texts a second, and how near its vectors are to those of full precision (mean cosine).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks.observed import resident_kb
from benchmarks.processes import ROOT
from benchmarks.report import console, machine
from demo import texts
from retrieval import Deadline, Embedder, Floats

OURS, THEIRS = "made here", "sentence-transformers"
FIGURES = ("seconds to load", "MB", "texts/s", "cosine to full precision")
_LENGTH = 320  # characters of a chunk that are embedded (retrieval/dense.py)
_MANY = 96


def chunks() -> list[str]:
    """Return pieces of text as long as those that are embedded."""
    text = texts.reference("compound")
    return [text[start : start + _LENGTH] for start in range(0, _MANY * _LENGTH, _LENGTH)]


def loaded(way: str) -> Embedder:
    """Load the default model; what is imported for it is imported here."""
    from retrieval.embedding import by_sentence_transformers, load_embedder, model_source  # noqa: PLC0415

    if way == OURS:
        return load_embedder(device="cpu", threads=1)
    return by_sentence_transformers(model_source("all-MiniLM-L6-v2"), "cpu", threads=1)


def measured(way: str) -> list[float]:
    """Return the figures, measured in this process."""
    began = time.perf_counter()
    embedder = loaded(way)
    seconds, given = time.perf_counter() - began, chunks()
    embedder.embed(given[:8], Deadline.after(60))
    memory = resident_kb(os.getpid()) / 1024
    began = time.perf_counter()
    found = embedder.embed(given, Deadline.after(600))
    rate = len(given) / (time.perf_counter() - began)
    return [seconds, memory, rate, float(np.einsum("ij,ij->i", found, precise(given)).mean())]


def precise(given: Sequence[str]) -> Floats:
    """Return the texts' vectors in full precision, each embedded alone."""
    from retrieval.embedding import model_source  # noqa: PLC0415
    from retrieval.encoder import load_encoder  # noqa: PLC0415

    encoder = load_encoder(Path(model_source("all-MiniLM-L6-v2")))
    if encoder is None:
        raise SystemExit("the default model is none that is made here")
    return np.stack([encoder.encode(text).numpy() for text in given])


def apart(way: str) -> list[float]:
    """Return the figures, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_embedding", "--way", way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=(OURS, THEIRS), help="measure that one in this process, and print JSON")
    options = parser.parse_args(arguments)
    if options.way:
        print(json.dumps(measured(options.way)))
        return
    found = [(apart(THEIRS), apart(OURS)) for _ in range(options.rounds)]
    table = Table("", *FIGURES, title=f"The default embedding model ({machine()}, {options.rounds} round(s), medians)")
    for name, rounds in zip((THEIRS, OURS), zip(*found, strict=True), strict=True):
        seconds, memory, rate, cosine = (statistics.median(figure) for figure in zip(*rounds, strict=True))
        table.add_row(name, f"{seconds:.1f}", f"{memory:.0f}", f"{rate:.0f}", f"{cosine:.3f}")
    console().print(table)


if __name__ == "__main__":
    main()
