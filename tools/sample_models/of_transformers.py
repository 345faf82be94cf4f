"""Architectures of transformers in small configurations, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from .case import CLASSES, Case, Rows, classifier, floats, integers
from .packages import load

__all__ = ["CASES"]

_WORDS, _LENGTH = 64, 12


class Named(nn.Module):
    """A model that takes its inputs by name, as one that takes them by position and gives one tensor."""

    def __init__(self, model: nn.Module, inputs: Sequence[str], output: str) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.output = output

    def forward(self, first: Tensor) -> Tensor:
        """What the model calls `output`, of a model of one input."""
        result: Tensor = self.model(**{self.inputs[0]: first})[self.output]
        return result


class Pair(Named):
    """The same for two inputs."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]
        """What the model calls `output`."""
        result: Tensor = self.model(**dict(zip(self.inputs, (first, second), strict=True)))[self.output]
        return result


class Words(Named):
    """A language model, whose scores [N, T, words] become [N, words, T], as the loss takes them."""

    def forward(self, first: Tensor) -> Tensor:
        """[N, T] to [N, words, T]."""
        return super().forward(first).transpose(1, 2)


class WordPairs(Pair):
    """The same for a model that reads one text and writes another."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]
        """[N, T] twice to [N, words, T]."""
        return super().forward(first, second).transpose(1, 2)


def _make(
    kind: type[Named], model: str, configuration: str, inputs: Sequence[str], output: str, **options: Any
) -> nn.Module:
    transformers = load("transformers")
    config = getattr(transformers, configuration)(**options)
    return kind(getattr(transformers, model)(config), inputs, output)


_ENCODER = {
    "vocab_size": _WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 32, "num_labels": CLASSES,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
_DECODER = {
    "vocab_size": _WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32, "use_cache": False,
}  # fmt: skip
_VISION = {
    "image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "num_labels": CLASSES,
}  # fmt: skip
_BART = {
    "vocab_size": _WORDS, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "dropout": 0.0, "use_cache": False,
}  # fmt: skip
_CLIP = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "projection_dim": 16,
}  # fmt: skip


def _classifies(name: str, **options: Any) -> Case:
    make = partial(
        _make, Named, f"{name}ForSequenceClassification", f"{name}Config", ["input_ids"], "logits", **options
    )
    return classifier(f"transformers {name}", make, integers(_LENGTH, below=_WORDS))


def _writes(name: str, model: str, **options: Any) -> Case:
    make = partial(_make, Words, model, f"{name}Config", ["input_ids"], "logits", **options)
    words = integers(_LENGTH, below=_WORDS)
    return Case(f"transformers {name}", make, (words,), words)


def _translates(name: str, source: str, rows: Rows, **options: Any) -> Case:
    make = partial(
        _make, WordPairs, f"{name}ForConditionalGeneration", f"{name}Config", [source, "decoder_input_ids"],
        "logits", **options,
    )  # fmt: skip
    words = integers(_LENGTH, below=_WORDS)
    return Case(f"transformers {name}", make, (rows, words), words)


def _sees(name: str, **options: Any) -> Case:
    make = partial(
        _make, Named, f"{name}ForImageClassification", f"{name}Config", ["pixel_values"], "logits", **options
    )
    return classifier(f"transformers {name}", make, floats(3, 32, 32))


_WAV2VEC2 = {
    **_ENCODER, "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0, "final_dropout": 0.0, "layerdrop": 0.0, "conv_dim": (16, 16), "conv_kernel": (10, 3),
    "conv_stride": (5, 2), "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0,
    "classifier_proj_size": 16,
}  # fmt: skip

CASES = [
    _classifies("Bert", **_ENCODER),
    _classifies("Roberta", **_ENCODER),
    _classifies(
        "DistilBert", vocab_size=_WORDS, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=32,
        dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, num_labels=CLASSES,
    ),
    _classifies("Albert", **_ENCODER, embedding_size=16, classifier_dropout_prob=0.0),
    _classifies("Electra", **_ENCODER, embedding_size=16),
    _writes(
        "GPT2", "GPT2LMHeadModel", vocab_size=_WORDS, n_embd=32, n_layer=2, n_head=2, n_positions=32,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
    ),
    _writes("Llama", "LlamaForCausalLM", **_DECODER),
    _writes("Mistral", "MistralForCausalLM", **_DECODER),
    _writes("Qwen2", "Qwen2ForCausalLM", **_DECODER),
    _translates(
        "T5", "input_ids", integers(_LENGTH, below=_WORDS), vocab_size=_WORDS, d_model=32, d_kv=16, d_ff=64,
        num_layers=2, num_heads=2, dropout_rate=0.0, use_cache=False, decoder_start_token_id=0,
    ),
    _translates(
        "Bart", "input_ids", integers(_LENGTH, below=_WORDS), **_BART, max_position_embeddings=32,
    ),
    _sees("ViT", **_VISION),
    _sees("DeiT", **_VISION),
    Case(
        "transformers CLIP",
        partial(
            _make, Pair, "CLIPModel", "CLIPConfig", ["input_ids", "pixel_values"], "logits_per_image",
            text_config={**_CLIP, "vocab_size": _WORDS, "max_position_embeddings": 16, "eos_token_id": 2},
            vision_config={**_CLIP, "image_size": 32, "patch_size": 8}, projection_dim=16,
        ),
        (integers(_LENGTH, below=_WORDS), floats(3, 32, 32)),
        integers(below=4),
    ),
    _translates(
        "Whisper", "input_features", floats(16, 48), **_BART, num_mel_bins=16, max_source_positions=24,
        max_target_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        suppress_tokens=None, begin_suppress_tokens=None,
    ),
    classifier(
        "transformers Wav2Vec2",
        partial(
            _make, Named, "Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", ["input_values"], "logits",
            **_WAV2VEC2,
        ),
        floats(400),
    ),
]  # fmt: skip
