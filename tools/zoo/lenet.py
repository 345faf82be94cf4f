"""LeNet-5 as the package's model registry defines it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo import torch_model

if TYPE_CHECKING:
    import torch
    from torch import nn


def _model() -> nn.Module:
    from wasmgrad import models

    return torch_model.seeded(models.registry["lenet-5"].make)


def _example() -> torch.Tensor:
    import torch

    return torch.zeros(1, 1, 28, 28)


def onnx() -> bytes:
    """[1, 1, 28, 28] to [1, 10]."""
    return torch_model.onnx_bytes(_model(), _example())


def torchscript() -> bytes:
    """The same as TorchScript."""
    return torch_model.torchscript_bytes(_model(), _example())


def exported() -> bytes:
    """The same as a `torch.export` program."""
    return torch_model.exported_bytes(_model(), _example())
