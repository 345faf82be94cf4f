"""A small GPT that writes about Python: trained here on Python's own documentation, by the training host.

It is trained on whole pieces of text, and compiled as the step that writes one byte: keys and values of the bytes
before are its state. `large` is the same step in the size of a real model, with seeded weights.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import store, torch_model

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["large", "onnx", "whole"]


@dataclass(frozen=True)
class _Sizes:
    """Of a model: how many tokens it knows, and how many of a text it sees."""

    vocabulary: int
    width: int
    depth: int
    heads: int
    context: int


_SMALL = _Sizes(vocabulary=128, width=128, depth=3, heads=4, context=64)
_LARGE = _Sizes(vocabulary=8000, width=512, depth=8, heads=8, context=256)
_STEPS, _BATCH = 500, 12


def _text() -> bytes:
    """What the model learns: the help texts of Python, as ASCII."""
    from pydoc_data import topics

    return "\n\n".join(topics.topics.values()).encode("ascii", "ignore")


def _network(sizes: _Sizes) -> nn.Module:
    """forward(tokens [N, T], targets [N, T]) gives the mean loss; `step` writes one token."""
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = sizes.width
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def parts(self, x: torch.Tensor) -> list[torch.Tensor]:
            """Queries, keys and values [N, heads, T, width / heads]."""
            n, t, width = x.shape
            parts = self.qkv(self.norm1(x)).view(n, t, 3, sizes.heads, width // sizes.heads)
            return list(parts.permute(2, 0, 3, 1, 4).unbind(0))

        def after(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.narrow(F.gelu(self.wide(self.norm2(x))))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.parts(x)
            return self.after(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
            self.places = nn.Embedding(sizes.context, sizes.width)
            self.layers = nn.ModuleList([Layer() for _ in range(sizes.depth)])
            self.norm = nn.LayerNorm(sizes.width)
            self.head = nn.Linear(sizes.width, sizes.vocabulary, bias=False)

        def logits(self, tokens: torch.Tensor) -> torch.Tensor:
            x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
            for layer in self.layers:
                x = layer(x)
            result: torch.Tensor = self.head(self.norm(x))
            return result

        def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(self.logits(tokens).flatten(0, 1), targets.flatten())

    return GPT()


def _step(network: nn.Module, sizes: _Sizes) -> nn.Module:
    """The step: forward(token [1], position [1], keys and values of each layer) gives logits, new keys and values.

    Keys and values are [1, heads, context, width / heads]; those of the token go to its position.
    """
    import torch
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(
            self, token: torch.Tensor, position: torch.Tensor, *cache: torch.Tensor
        ) -> tuple[torch.Tensor, ...]:
            model: Any = self.network
            x = (model.tokens(token) + model.places(position)).unsqueeze(1)
            hidden = torch.arange(sizes.context) > position
            updated = []
            for layer, past_keys, past_values in zip(model.layers, cache[::2], cache[1::2], strict=True):
                q, k, v = layer.parts(x)
                keys = past_keys.index_copy(2, position, k)
                values = past_values.index_copy(2, position, v)
                updated += [keys, values]
                scores = q @ keys.transpose(2, 3) * (sizes.width // sizes.heads) ** -0.5
                scores = scores.masked_fill(hidden, -torch.inf)
                x = layer.after(x, scores.softmax(-1) @ values)
            return model.head(model.norm(x))[0, 0], *updated

    return Decoder().eval()


def _trained() -> nn.Module:
    """The small model, after a minute of training on two quiet cores the first time."""
    import torch

    network = torch_model.seeded(lambda: _network(_SMALL))
    file = "gpt-text.weights"
    path = store.find(file) or store.publish(file, _trained_weights(network))
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def _trained_weights(network: nn.Module) -> bytes:
    import numpy as np
    import torch
    import wasmgrad

    tokens, targets = (torch.zeros(_BATCH, _SMALL.context, dtype=torch.int64) for _ in range(2))
    any_number = {0: torch.export.Dim.AUTO}
    program = torch.export.export(network, (tokens, targets), dynamic_shapes=(any_number, any_number))
    trainer = wasmgrad.Trainer(
        program,
        losses="model",
        keep_integers=True,
        optimizer="adamw",
        learning_rate=2e-3,
        seed=0,
    )
    data = np.frombuffer(_text(), np.uint8).astype(np.int64)
    starts = np.random.default_rng(0).integers(0, len(data) - _SMALL.context, (_STEPS, _BATCH))
    for batch in starts:
        pieces = np.stack([data[start : start + _SMALL.context + 1] for start in batch])
        trainer.step({"tokens": pieces[:, :-1], "targets": pieces[:, 1:]})
    weights = {name: torch.from_numpy(np.array(value)) for name, value in trainer.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def _step_bytes(decoder: nn.Module, sizes: _Sizes) -> bytes:
    """The step as ONNX: what was `next_key_0` or `next_value_0` becomes `key_0` or `value_0`, and so for all layers."""
    import torch

    shape = (1, sizes.heads, sizes.context, sizes.width // sizes.heads)
    names = [f"{kind}_{i}" for i in range(sizes.depth) for kind in ("key", "value")]
    example = (torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            decoder,
            (*example, *(torch.zeros(shape) for _ in names)),
            path,
            dynamo=False,
            opset_version=torch_model.OPSET,
            input_names=["token", "position", *names],
            output_names=["logits", *(f"next_{name}" for name in names)],
        )
        return path.read_bytes()


def onnx() -> bytes:
    """The step of the small model."""
    return _step_bytes(_step(_trained(), _SMALL), _SMALL)


def whole() -> bytes:
    """The small model from tokens [1, 64] to the logits of each next one [1, 64, 128], as torch computes it."""
    import torch
    from torch import nn

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = _trained()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.network.logits(tokens)
            return result

    return torch_model.exported_bytes(Whole().eval(), torch.zeros(1, _SMALL.context, dtype=torch.int64))


def large() -> bytes:
    """A step of 33 million weights, seeded ones, with a cache of 256 tokens."""
    return _step_bytes(_step(torch_model.seeded(lambda: _network(_LARGE)), _LARGE), _LARGE)
