"""The part of `tflite.py` that runs in the environment of Google's packages: `tflite_worker TASK SOURCE RESULT`.

TASK: "convert" for a model's name, "static" or "dynamic" for a .tflite file that is to be quantized.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import efficientnet, mobilenet, resnet, vit

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_CONVOLUTIONAL: dict[str, Callable[[], nn.Module]] = {
    "resnet50": resnet.model,
    "mobilenetv2": mobilenet.model,
    "efficientnet-lite0": efficientnet.model,
}
_OTHERS: dict[str, Callable[[], nn.Module]] = {"vit-tiny": vit.model}
_PICTURES = 4


def _convert(name: str, result: Path) -> None:
    import litert_torch
    import torch

    if name in _CONVOLUTIONAL:
        example = torch.zeros(1, 224, 224, 3)
        model = litert_torch.to_channel_last_io(_CONVOLUTIONAL[name](), args=[0])
    else:
        example = torch.zeros(1, 3, 224, 224)
        model = _OTHERS[name]()
    litert_torch.convert(model.eval(), (example,)).export(str(result))


def _quantize(how: str, model: str, result: Path) -> None:
    import numpy as np
    from ai_edge_quantizer import qtyping, quantizer, recipe

    work = quantizer.Quantizer(model)
    if how == "dynamic":
        work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        done = work.quantize()
    else:
        work.load_quantization_recipe(recipe.static_wi8_ai8())
        for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            work.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
        random = np.random.default_rng(0)
        pictures = random.uniform(-1, 1, (_PICTURES, 1, 224, 224, 3)).astype("f4")
        ranges = work.calibrate({"serving_default": [{"args_0": picture} for picture in pictures]})
        done = work.quantize(ranges)
    done.export_model(str(result))


def main() -> None:
    """Write the result's file."""
    task, source, result = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if task == "convert":
        _convert(source, result)
    else:
        _quantize(task, source, result)


if __name__ == "__main__":
    main()
