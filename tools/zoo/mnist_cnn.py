"""The model that `wasmgrad train` trains, untrained."""

from __future__ import annotations

from zoo import torch_model

_NAME = "mnist-cnn"


def onnx() -> bytes:
    """[1, 1, 28, 28] to [1, 10]."""
    import torch
    from wasmgrad import models

    model = torch_model.seeded(models.registry[_NAME].make)
    return torch_model.onnx_bytes(model, torch.zeros(1, 1, 28, 28))


def torchscript() -> bytes:
    """The archive that the training host takes: scripted, with a free batch size."""
    from wasmgrad import models

    return models.build(_NAME)
