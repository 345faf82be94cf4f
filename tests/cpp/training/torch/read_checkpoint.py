"""Reads a checkpoint of the `convolution` model with the safetensors package: `read_checkpoint.py FILE`."""

from __future__ import annotations

import sys

import torch
from safetensors import safe_open

with safe_open(sys.argv[1], framework="pt") as file:
    metadata = file.metadata()
    tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}

assert metadata["wasmgrad_checkpoint"] == "2", metadata
assert metadata["optimizer"] == "adam", metadata
assert int(metadata["step"]) > 0, metadata
assert tensors["model.fc.weight"].shape == (3, 144)
assert tensors["model.norm.num_batches_tracked"].dtype == torch.int64
assert tensors["optimizer.exp_avg.conv.weight"].shape == tensors["model.conv.weight"].shape
assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
