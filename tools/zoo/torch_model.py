"""From a torch module to bytes: seeded weights, measured batch-norm statistics, and the three file formats.

It must not know any architecture.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

OPSET = 18


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """`make()` in evaluation mode with weights drawn from `seed`; torch's own random state stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def seeded_with_statistics(
    make: Callable[[], nn.Module], input_shape: Sequence[int], seed: int = 0
) -> nn.Module:
    """As `seeded`, but activations stay of order one through any depth.

    Convolutions are drawn for ReLU (He), and each batch norm gets the statistics of random normal inputs of
    `input_shape`, measured with all layers before it normalised, as training would leave them.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = make()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.uniform_(module.bias, -0.1, 0.1)
                module.momentum = 1.0  # the running statistics become those of the one batch
        model.train()
        model(torch.randn(4, *input_shape[1:]))
    return model.eval()


def onnx_bytes(model: nn.Module, example: torch.Tensor) -> bytes:
    """`model` as ONNX with static shapes; the input is called "input", the output "output"."""
    import torch

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age, and of free shapes that these models lack
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            model,
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
        )
        return path.read_bytes()


def torchscript_bytes(model: nn.Module, example: torch.Tensor) -> bytes:
    """`model` traced as TorchScript."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        jit: Any = torch.jit  # untyped
        jit.save(jit.trace(model, example), buffer)
    return buffer.getvalue()


def exported_bytes(model: nn.Module, example: torch.Tensor) -> bytes:
    """`model` as a `torch.export` program."""
    import torch

    buffer = io.BytesIO()
    torch.export.save(torch.export.export(model, (example,)), buffer)
    return buffer.getvalue()
