"""The encoder makes what sentence-transformers makes of the same files, and leaves to it what it cannot."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from retrieval import Deadline
from retrieval.embedding import load_embedder, model_source
from retrieval.encoder import load_encoder

TEXTS = [
    "A cat sleeps on the sofa.",
    "",
    " \n\t",
    "Straße, naïve café, 東京都の天気、 Привет мир 🙂 \u0000\ufffd",
    "def encode(self, texts: list[str]) -> Floats:  # snake_case, camelCase, x == y",
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "word " * 300,  # more than the model reads
    "a" * 150,  # longer than any word that it knows
]
FOLDER = Path(model_source("all-MiniLM-L6-v2"))


@pytest.mark.model
def test_vectors_are_those_of_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - as where it is used

    encoder = load_encoder(FOLDER)
    assert encoder is not None
    theirs = SentenceTransformer(str(FOLDER), device="cpu").encode(TEXTS, normalize_embeddings=True)
    ours = np.stack([encoder.encode(text).numpy() for text in TEXTS])
    assert np.abs(ours - np.asarray(theirs)).max() < 1e-5


@pytest.mark.model
def test_the_default_model_needs_no_sentence_transformers() -> None:
    code = (
        "import sys; from retrieval.embedding import load_embedder; load_embedder(device='cpu');"
        "print(sorted({'torch', 'sentence_transformers', 'transformers', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "['torch']\n"


def changed(file: str, change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Return what changes one of the model's JSON files."""

    def work(folder: Path) -> None:
        settings = json.loads((folder / file).read_text())
        change(settings)
        (folder / file).unlink()
        (folder / file).write_text(json.dumps(settings))

    return work


def renamed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file({f"bert.{name}": value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")


POOLING = "1_Pooling/config.json"
OTHERS: dict[str, Callable[[Path], object]] = {
    "another kind": changed("config.json", lambda found: found.update(model_type="roberta")),
    "another activation": changed("config.json", lambda found: found.update(hidden_act="relu")),
    "relative positions": changed("config.json", lambda found: found.update(position_embedding_type="relative_key")),
    "pooled otherwise": changed(
        POOLING, lambda found: found.update(pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    ),
    "not normalized": changed("modules.json", lambda found: found.pop()),
    "in lower case": changed("sentence_bert_config.json", lambda found: found.update(do_lower_case=True)),
    "of no known length": changed("sentence_bert_config.json", lambda found: found.pop("max_seq_length")),
    "prompted": changed(
        "config_sentence_transformers.json",
        lambda found: found.update(prompts={"query": "q: "}, default_prompt_name="query"),
    ),
    "without a vocabulary in one file": lambda folder: (folder / "tokenizer.json").unlink(),
    "weights under other names": renamed,
    "no modules": lambda folder: (folder / "modules.json").unlink(),
}


def copied(folder: Path) -> Path:
    """Return a copy of the model's folder whose files are links."""
    return Path(shutil.copytree(FOLDER, folder / "model", copy_function=lambda file, copy: Path(copy).symlink_to(file)))


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS.keys())
def test_other_models_are_left_to_sentence_transformers(change: Callable[[Path], object], tmp_path: Path) -> None:
    folder = copied(tmp_path)
    assert load_encoder(folder) is not None
    change(folder)
    assert load_encoder(folder) is None


def test_what_is_not_there_is_left_to_sentence_transformers(tmp_path: Path) -> None:
    assert load_encoder(tmp_path / "nowhere") is None


@pytest.mark.model
def test_a_model_that_is_left_to_it_embeds(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    OTHERS["pooled otherwise"](folder)
    embedder = load_embedder(str(folder), device="cpu", threads=1)
    vectors = embedder.embed([text for text in TEXTS if text.strip()], Deadline.after(60))
    assert vectors.shape == (6, embedder.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert np.abs(vectors[0] - load_embedder(device="cpu").embed(TEXTS[:1], Deadline.after(60))[0]).max() > 0.01
