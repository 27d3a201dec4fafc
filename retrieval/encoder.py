"""Small BERT models from their files, as sentence-transformers makes of them, without its imports (decision 11)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import Embedding, LayerNorm, Linear, Module, ModuleList
from torch.nn.functional import gelu, normalize, scaled_dot_product_attention

# Of a model that any of this is not true of, sentence-transformers makes what it is.
_BERT = {"hidden_act": "gelu", "position_embedding_type": "absolute"}
_STAGES = ["Transformer", "Pooling", "Normalize"]
_POOLING = {"pooling_mode_mean_tokens"}
# Parts of the weights' names, and what they are called here; the longer one first where one ends with another.
_NAMES = (
    ("embeddings.word_embeddings", "words"),
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.token_type_embeddings", "kinds"),
    ("embeddings.LayerNorm", "norm"),
    ("encoder.layer", "layers"),
    ("attention.self.", ""),
    ("attention.output.dense", "mixed"),
    ("attention.output.LayerNorm", "mixed_norm"),
    ("intermediate.dense", "inner"),
    ("output.dense", "outer"),
    ("output.LayerNorm", "norm"),
)
_UNUSED = ("pooler.", "embeddings.position_ids")


class _Layer(Module):
    """Attention, then a feed-forward net; each is added to what came in, and the sum normalized."""

    def __init__(self, width: int, inner: int, heads: int, eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.query, self.key, self.value = Linear(width, width), Linear(width, width), Linear(width, width)
        self.mixed, self.mixed_norm = Linear(width, width), LayerNorm(width, eps)
        self.inner, self.outer = Linear(width, inner), Linear(inner, width)
        self.norm = LayerNorm(width, eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what this layer makes of hidden states, float32[tokens, width]."""
        query, key, value = (self._by_head(part(hidden)) for part in (self.query, self.key, self.value))
        seen = scaled_dot_product_attention(query, key, value)
        hidden = self.mixed_norm(hidden + self.mixed(seen.transpose(0, 1).flatten(1)))
        made: Tensor = self.norm(hidden + self.outer(gelu(self.inner(hidden))))
        return made

    def _by_head(self, states: Tensor) -> Tensor:
        return states.view(len(states), self._heads, -1).transpose(0, 1)


class Encoder(Module):
    """BERT (Devlin et al., 2019) whose hidden states are averaged (Sentence-BERT: Reimers and Gurevych, 2019)."""

    def __init__(self, config: Mapping[str, Any], tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.dimension: int = width
        self.words = Embedding(config["vocab_size"], width)
        self.positions = Embedding(config["max_position_embeddings"], width)
        self.kinds = Embedding(config["type_vocab_size"], width)
        self.norm = LayerNorm(width, eps)
        shape = (width, config["intermediate_size"], config["num_attention_heads"], eps)
        self.layers = ModuleList(_Layer(*shape) for _ in range(config["num_hidden_layers"]))

    @torch.inference_mode()
    def encode(self, text: str) -> Tensor:
        """Return a text's unit vector, float32[dimension]; of one that is too long the beginning counts."""
        vector: Tensor = self(torch.tensor(self._tokenizer.encode(text).ids))
        return vector

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the unit vector of numbered tokens, int64[tokens]."""
        hidden = self.norm(self.words(tokens) + self.positions.weight[: len(tokens)] + self.kinds.weight[0])
        for layer in self.layers:
            hidden = layer(hidden)
        return normalize(hidden.mean(0), dim=0)


def load_encoder(folder: Path) -> Encoder | None:
    """Return the model whose files are in the folder; None where it is none of these.

    Raises OSError or ValueError where they cannot be read.
    """
    vocabulary, weights = folder / "tokenizer.json", folder / "model.safetensors"
    config, most = _read(folder / "config.json"), _most_tokens(folder)
    if most is None or not (vocabulary.is_file() and weights.is_file()) or not _is_bert(config):
        return None
    tokenizer = Tokenizer.from_file(str(vocabulary))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    encoder = Encoder(config, tokenizer)
    named = {_name(name): value for name, value in load_file(weights).items() if not name.startswith(_UNUSED)}
    if named.keys() != encoder.state_dict().keys():
        return None
    encoder.load_state_dict(named)
    return encoder.eval()


def _is_bert(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == "bert" and all(config.get(name, value) == value for name, value in _BERT.items())


def _most_tokens(folder: Path) -> int | None:
    """Return how many tokens of a text count, where what follows the tokens is what is made here."""
    stages = _stages(folder / "modules.json")
    if [stage["type"].rpartition(".")[2] for stage in stages] != _STAGES or stages[0]["path"]:
        return None
    reading, pooling = _read(folder / "sentence_bert_config.json"), _read(folder / stages[1]["path"] / "config.json")
    prompted = _read(folder / "config_sentence_transformers.json").get("default_prompt_name")
    pooled = {name for name, chosen in pooling.items() if name.startswith("pooling_mode_") and chosen}
    most = reading.get("max_seq_length")
    plain = pooled == _POOLING and not reading.get("do_lower_case") and not prompted
    return most if plain and isinstance(most, int) else None


def _stages(file: Path) -> list[dict[str, str]]:
    stages: list[dict[str, str]] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return stages


def _read(file: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return settings


def _name(name: str) -> str:
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    return name
