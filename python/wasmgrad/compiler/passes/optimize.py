"""The passes between an imported Relax module and kernels, by optimization level.

| level | what is done                                                          |
|-------|-----------------------------------------------------------------------|
| 0     | every operator becomes a generated kernel of its own                  |
| 1     | and constants are folded, batch normalization with them, and stored in few bits |
| 2     | and element-wise operators are fused into the kernels before them     |
| 3     | and our own kernels take over, on pictures in NHWC                    |
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from .constants import evaluate_constants, fold_constants
from .flatten import flatten_as_stored
from .kernels import Kernel
from .legalize import LEGALIZATIONS
from .offload import offload
from .one_row import one_axis_as_pictures
from .quantized import move_before_centring
from .simplify import (
    full_rank_constants,
    nothing_as_constants,
    pad_inside,
    special_scalars_in_memory,
    whole_gelu,
    without_clip,
)
from .stored import store_constants

__all__ = ["optimize"]


def optimize(
    module: Any, target: Any, level: int, lanes: int, batch: int = 0, most: int = 0
) -> tuple[Any, list[Kernel]]:
    """Lowers `main` to kernel calls. Returns the module and those of our own kernels that it calls.

    lanes: floats of a vector in our kernels, 1 without SIMD. most: for how many samples algorithms are chosen, where
    the module is for `batch` of them.
    """
    transform = relax.transform
    kernels: list[Kernel] = []
    with target, tvm.transform.PassContext(opt_level=3):
        module = _run(module, transform.DecomposeOpsForInference(), transform.CanonicalizeBindings())
        module = nothing_as_constants(module)
        if level >= 1:
            module = evaluate_constants(module)
            module = _run(fold_constants(module), transform.DeadCodeElimination(["main"]))
        module = special_scalars_in_memory(module)
        if level >= 3:
            module = one_axis_as_pictures(module)
            module = full_rank_constants(whole_gelu(pad_inside(without_clip(module))))
            module = _run(
                module,
                transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "OHWI"]}),
                transform.Normalize(),
            )
            module = evaluate_constants(module)
            module = _run(fold_constants(module), transform.DeadCodeElimination(["main"]))
            module = move_before_centring(flatten_as_stored(module))
            module, kernels = offload(module, lanes, batch, most)
            module = _run(module, transform.DeadCodeElimination(["main"]))
        module = _run(module, transform.LegalizeOps(LEGALIZATIONS), transform.RewriteDataflowReshape())
        if level >= 2:
            module = fold_constants(_run(module, transform.AnnotateTIROpPattern()))
            module = _run(module, transform.FuseOps(), transform.FuseTIR())
        module = _run(module, transform.DeadCodeElimination(["main"]))
        return (store_constants(module, lanes) if level >= 1 else module), kernels


def _run(module: Any, *passes: Any) -> Any:
    return tvm.transform.Sequential(passes)(module)
