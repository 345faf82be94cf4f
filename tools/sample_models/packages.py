"""Imports the packages that models come from; transformers and timm import torchvision themselves."""

from __future__ import annotations

import importlib
from typing import Any

import torch

__all__ = ["load"]

_OPERATORS = ("nms", "qnms")  # of torchvision's own, those without which it cannot be imported
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []


def load(name: str) -> Any:
    """The package; also with a torchvision whose compiled operators another build of torch needs.

    No model here uses them, but torchvision cannot be imported without two of them.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _OPERATORS:
            library.define(operator + _SCHEMA)
        _declared.append(library)  # it holds as long as this object
    return importlib.import_module(name)
