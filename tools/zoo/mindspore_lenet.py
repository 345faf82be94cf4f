"""LeNet-5 as MindSpore itself exports it, made in a throw-away environment that has MindSpore.

MindSpore pins packages of its own, so it never enters this environment.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from deps.report import run, say

_VERSION = "2.10.0"
_SCRIPT = """
import sys
import mindspore
import numpy as np
from mindspore import nn

mindspore.set_seed(0)
mindspore.set_device("CPU")
relu, pool = nn.ReLU(), nn.MaxPool2d(kernel_size=2, stride=2)
model = nn.SequentialCell(
    nn.Conv2d(1, 6, 5, pad_mode="valid"), relu, pool,
    nn.Conv2d(6, 16, 5, pad_mode="valid"), relu, pool,
    nn.Flatten(), nn.Dense(400, 120), relu, nn.Dense(120, 84), relu, nn.Dense(84, 10),
)
model.set_train(False)
mindspore.onnx.export(model, mindspore.Tensor(np.zeros([1, 1, 32, 32], np.float32)), file_name=sys.argv[1])
"""


def onnx() -> bytes:
    """[1, 1, 32, 32] to [1, 10].

    Raises:
        FetchError: MindSpore cannot be installed or does not run on this machine.
    """
    with tempfile.TemporaryDirectory() as work:
        say(f"installing MindSpore {_VERSION} in a temporary environment")
        run([sys.executable, "-m", "venv", f"{work}/venv"])
        python = f"{work}/venv/bin/python"
        run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", f"mindspore=={_VERSION}"])
        run([python, "-c", _SCRIPT, f"{work}/lenet"], cwd=Path(work))
        return Path(work, "lenet.onnx").read_bytes()
