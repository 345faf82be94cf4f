"""Gradients in smaller operators are those of torch's autograd in float64, for windows of every kind.

Random ones are drawn from a seed; WASMGRAD_SWEEP=1 takes 400 of each kind, in place of a sample.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from wasmgrad.compiler.training.axes import total
from wasmgrad.compiler.training.batch_norm import Rows
from wasmgrad.compiler.training.gradients import decompositions

from ... import sweep

SEEDS = range(400 if sweep.WHOLE else 10)
CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
MAX_POOLS = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVG_POOLS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)

Function = Callable[..., Tensor]


def check(function: Function, *arguments: Tensor) -> None:
    """Compares the result and the gradients of all arguments."""
    wide = [argument.double() for argument in arguments]

    def gradients(*given: Tensor) -> tuple[Tensor, ...]:
        leaves = [argument.detach().requires_grad_() for argument in given]
        result = function(*leaves)
        weights = torch.arange(result.numel(), dtype=torch.float64).reshape(result.shape).sin()
        return (result.detach(), *torch.autograd.grad((result * weights).sum(), leaves))

    wanted = gradients(*wide)
    table = {**decompositions(), **Rows().decompositions()}
    recorded = make_fx(gradients, decomposition_table=table, tracing_mode="fake")(*wide)
    called = {str(node.target) for node in recorded.graph.nodes}
    assert not [name for name in called if "_backward" in name]
    for found, value in zip(recorded(*wide), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-8)


def refused_by_torch(function: Function, *arguments: Tensor) -> bool:
    try:
        function(*arguments)
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_convolution(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    axes, groups = draw.choice([1, 2, 2, 3]), draw.choice([1, 1, 2, 3])
    inner, outer = draw.choice([1, 2, 3]), draw.choice([1, 2, 3])
    kernel = [draw.randint(1, 4) for _ in range(axes)]
    stride, dilation = ([draw.randint(1, most) for _ in range(axes)] for most in (3, 2))
    padding = [draw.randint(0, 3) for _ in range(axes)]
    sizes = [draw.randint(7, 11) for _ in range(axes)]
    batch = draw.randint(1, 3)
    x = torch.randn(batch, inner * groups, *sizes)
    if seed % 3 == 0:
        more = [draw.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]

        def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return TRANSPOSED[axes - 1](x, weight, bias, stride, padding, more, groups, dilation)

        weight = torch.randn(inner * groups, outer, *kernel)
    else:

        def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return CONVOLUTIONS[axes - 1](x, weight, bias, stride, padding, dilation, groups)

        weight = torch.randn(outer * groups, inner, *kernel)
    arguments = (x, weight, torch.randn(outer * groups))
    if not refused_by_torch(function, *arguments):
        check(function, *arguments)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_pool(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    axes = draw.choice([1, 2, 2, 3])
    kernel = [draw.randint(1, 4) for _ in range(axes)]
    stride, dilation = ([draw.randint(1, most) for _ in range(axes)] for most in (3, 2))
    padding = [draw.randint(0, k // 2) for k in kernel]
    ceil, counted = draw.random() < 0.5, draw.random() < 0.5
    x = torch.randn(2, 3, *[draw.randint(8, 12) for _ in range(axes)])

    def largest(x: Tensor) -> Tensor:
        return MAX_POOLS[axes - 1](x, kernel, stride, padding, dilation, ceil)

    def mean(x: Tensor) -> Tensor:
        return AVG_POOLS[axes - 1](x, kernel, stride, padding, ceil, counted)

    for function, values in ((largest, x), (largest, x.round()), (mean, x)):  # with ties, too
        if not refused_by_torch(function, values):
            check(function, values)


def _image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


OTHERS: dict[str, tuple[Function, tuple[Tensor, ...]]] = {
    "adaptive mean": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), (_image(2, 3, 7, 11),)),
    "global mean": (lambda x: F.adaptive_avg_pool2d(x, 1), (_image(2, 3, 7, 11),)),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2.0), (_image(2, 3, 4, 5),)),
    "bilinear": (lambda x: F.interpolate(x, size=(9, 7), mode="bilinear"), (_image(2, 3, 4, 5),)),
    "bilinear, corners": (
        lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
        (_image(2, 3, 4, 5),),
    ),
    "bicubic": (lambda x: F.interpolate(x, size=(9, 7), mode="bicubic"), (_image(2, 3, 4, 5),)),
    "linear": (lambda x: F.interpolate(x, size=9, mode="linear"), (_image(2, 3, 4),)),
    "batch norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        (_image(4, 3, 5, 5), _image(3), _image(3)),
    ),
    "batch norm of rows": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        (_image(4, 3), _image(3), _image(3)),
    ),
    "instance norm": (
        lambda x, w, b: F.instance_norm(x, None, None, w, b),
        (_image(4, 3, 5, 5), _image(3), _image(3)),
    ),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), (_image(4, 3, 5), _image(5), _image(5))),
    "group norm": (lambda x, w, b: F.group_norm(x, 2, w, b), (_image(4, 6, 5), _image(6), _image(6))),
    "gelu": (F.gelu, (_image(4, 5),)),
    "silu": (F.silu, (_image(4, 5),)),
    "elu": (F.elu, (_image(4, 5),)),
    "softplus": (F.softplus, (_image(4, 5),)),
    "softmax": (lambda x: F.softmax(x, -1), (_image(4, 5),)),
    "embedding": (lambda w: F.embedding(torch.tensor([[1, 2, 1], [0, 5, 1]]), w, padding_idx=0), (_image(7, 4),)),
    "index": (lambda w: w[torch.tensor([1, 1, 3])], (_image(7, 4),)),
    "gather": (lambda w: w.gather(1, torch.tensor([[1, 1, 3], [0, 0, 0]])), (_image(2, 4),)),
    "cumulative sum": (lambda x: x.cumsum(1), (_image(4, 5),)),
    "largest": (lambda x: x.max(1)[0], (_image(4, 5),)),
    "slice": (lambda x: x[:, 1:4:2], (_image(4, 5),)),
    "long sums": (lambda x: x.sum((0, 1)) * x.mean(), (_image(900, 5),)),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_of_other_operators(name: str) -> None:
    function, arguments = OTHERS[name]
    check(function, *arguments)


def test_a_long_sum_keeps_its_digits() -> None:
    x = torch.rand(3, 100_003, generator=torch.Generator().manual_seed(0))
    exact = x.double().sum(1)
    assert float((total(x, [1]).double() - exact).abs().max()) < 1e-6 * float(exact.max())
