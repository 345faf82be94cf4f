"""NaN, infinities and signed zeros for every operator that compares, selects, reduces or pools: a table.

A case is a node, its operands by name, and the function of them in NumPy (or torch) that it has to equal, computed in
float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
NAN, INF = math.nan, math.inf

VALUES = [
    NAN,
    INF,
    -INF,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.25,
    3.0,
    -3.5,
    6.0,
    40.0,
    -40.0,
    0.75,
]
ROWS = np.array(
    [
        [5, 4, NAN, 1, 2, 3],
        [NAN, 1, 2, NAN, 4, 0],
        [1, 2, 3, 4, 5, NAN],
        [NAN] * 6,
        [INF, 1, 2, -1, 0, 3],
        [INF, INF, 1, 2, 3, 4],
        [-INF, 1, -2, 0, 3, 1],
        [-INF] * 6,
        [INF] * 6,
        [INF, -INF, 0, 1, 2, 2],
        [NAN, INF, -INF, 0, 1, 1],
        [-1, -2, -3, -4, -5, -6],
        [1, 1, 0, -0.0, 0, 1],
    ]
)
PICTURES = np.where(
    np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6) % 13 == 4,
    np.resize([NAN, INF, -INF, -INF], (2, 4, 5, 6)),
    np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6) % 7 - 3.0,
)
PICTURES[0, 0], PICTURES[1, 1], PICTURES[1, 2] = -INF, INF, NAN


@dataclass(frozen=True)
class Case:
    """An operator, its operands (names of `operands`, or constants), attributes, and what it gives.

    signed: whether the sign of a zero matters.
    """

    operator: str
    expected: Callable[..., Any]
    operands: tuple[Any, ...] = ("x",)
    attributes: dict[str, Any] = field(default_factory=dict)
    signed: bool = False
    outputs: int = 1

    @property
    def label(self) -> str:
        """For messages."""
        constants = [
            str(np.asarray(operand).tolist()) for operand in self.operands if not isinstance(operand, str)
        ]
        return (
            f"{self.operator}({', '.join([*constants, *(f'{k}={v}' for k, v in self.attributes.items())])})"
        )


def operands(dtype: str) -> dict[str, Array]:
    """The inputs that cases name."""
    pairs = np.array([(a, b) for a in VALUES for b in VALUES])
    return {
        "x": np.array(VALUES, dtype),
        "a": pairs[:, 0].astype(dtype),
        "b": pairs[:, 1].astype(dtype),
        "rows": ROWS.astype(dtype),
        "c": np.arange(len(pairs)) % 3 == 0,
        "pictures": PICTURES.astype(dtype),
        "lines": PICTURES.reshape(2, 4, 30).astype(dtype),
        "volumes": PICTURES.reshape(2, 1, 4, 5, 6).astype(dtype),
    }


def _torch(function: Callable[..., Any]) -> Callable[..., Array]:
    def call(*arrays: Array) -> Any:
        results = function(*(torch.from_numpy(np.asarray(array)) for array in arrays))
        return tuple(r.numpy() for r in results) if isinstance(results, tuple) else results.numpy()

    return call


F = torch.nn.functional
_erf = _torch(torch.erf)

UNARY = [
    Case("Abs", np.abs, signed=True),
    Case("Acos", np.arccos), Case("Acosh", np.arccosh), Case("Asin", np.arcsin), Case("Asinh", np.arcsinh),
    Case("Atan", np.arctan), Case("Atanh", np.arctanh),
    Case("Ceil", np.ceil, signed=True), Case("Floor", np.floor, signed=True), Case("Round", np.rint, signed=True),
    Case("Cos", np.cos), Case("Cosh", np.cosh), Case("Sin", np.sin), Case("Sinh", np.sinh), Case("Tan", np.tan),
    Case("Tanh", np.tanh), Case("Exp", np.exp), Case("Log", np.log), Case("Erf", _erf),
    Case("Neg", np.negative, signed=True), Case("Sqrt", np.sqrt, signed=True), Case("Sign", np.sign, signed=True),
    Case("Reciprocal", lambda x: 1 / x), Case("Identity", lambda x: x, signed=True),
    Case("Relu", _torch(F.relu)), Case("Elu", _torch(F.elu)), Case("Selu", _torch(F.selu)),
    Case("Celu", _torch(lambda x: F.celu(x, 2.0)), attributes={"alpha": 2.0}),
    Case("HardSigmoid", lambda x: np.clip(x / 4 + 0.5, 0, 1), attributes={"alpha": 0.25}),
    Case("HardSwish", _torch(F.hardswish)), Case("Mish", _torch(F.mish)),
    Case("Softplus", lambda x: np.logaddexp(0, x)),
    Case("Gelu", lambda x: x / 2 * (1 + _erf(x / math.sqrt(2)))),
    Case("Gelu", _torch(lambda x: F.gelu(x, approximate="tanh")), attributes={"approximate": "tanh"}),
    Case("Sigmoid", _torch(torch.sigmoid)), Case("Softsign", _torch(F.softsign)),
    Case("LeakyRelu", _torch(lambda x: F.leaky_relu(x, 0.25)), attributes={"alpha": 0.25}),
    Case("LeakyRelu", lambda x: np.where(x >= 0, x, 0 * x), attributes={"alpha": 0.0}),
    Case("ThresholdedRelu", _torch(lambda x: F.threshold(x, 1.0, 0.0))),
    Case("Shrink", _torch(lambda x: F.hardshrink(x, 0.5))),
    Case("Shrink", _torch(lambda x: F.softshrink(x, 0.5)), attributes={"bias": 0.5}),
    Case("IsNaN", np.isnan), Case("IsInf", np.isinf),
    Case("IsInf", lambda x: x == -INF, attributes={"detect_positive": 0}),
    Case("Clip", lambda x: np.clip(x, -2, 2), ("x", -2.0, 2.0)), Case("Clip", lambda x: np.maximum(x, 0.5), ("x", 0.5)),
    Case("Clip", lambda x: np.minimum(x, 6), ("x", None, 6.0)), Case("Clip", lambda x: x * NAN, ("x", NAN, 2.0)),
    Case("Clip", lambda x: np.clip(x, -INF, INF), ("x", -INF, INF)),
    Case("Clip", lambda x: np.minimum(np.maximum(x, 3), 1), ("x", 3.0, 1.0)),
    Case("Mul", lambda x: x * 0, ("x", 0.0)), Case("Mul", lambda x: 0 * x, (0.0, "x")),
    Case("Mul", lambda x: x * INF, ("x", INF)), Case("Div", lambda x: x / 0.0, ("x", 0.0)),
    Case("Div", lambda x: 0.0 / x, (0.0, "x")), Case("Sub", np.subtract, ("x", "x")),
    Case("Div", np.divide, ("x", "x")), Case("Sub", lambda x: x - INF, ("x", INF)),
    Case("Add", lambda x: x + 0.0, ("x", 0.0), signed=True), Case("Pow", lambda x: x**0, ("x", 0.0)),
    Case("Pow", lambda x: x**2, ("x", 2.0)), Case("Pow", lambda x: np.float64(1) ** x, (1.0, "x")),
    Case("Max", lambda x: np.maximum(x, 0), ("x", 0.0)), Case("Max", lambda x: np.maximum(x, 0), (0.0, "x")),
    Case("Min", lambda x: np.minimum(x, 1), ("x", 1.0)), Case("Min", lambda x: np.minimum(1, x), (1.0, "x")),
    Case("Max", lambda x: x * NAN, ("x", NAN)), Case("Equal", np.equal, ("x", "x")),
    Case("Equal", lambda x: x == 1, ("x", 1.0)), Case("CumSum", np.cumsum, ("x", np.array(0))),
    Case("CumSum", lambda x: np.cumsum(x[::-1])[::-1], ("x", np.array(0)), {"reverse": 1}),
]  # fmt: skip


BINARY = [
    Case(operator, function, ("a", "b"))
    for operator, function in (
        ("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide), ("Pow", np.power),
        ("Max", np.maximum), ("Min", np.minimum), ("Sum", np.add), ("Mean", lambda a, b: (a + b) / 2),
        ("Equal", np.equal), ("Greater", np.greater), ("GreaterOrEqual", np.greater_equal), ("Less", np.less),
        ("LessOrEqual", np.less_equal), ("PRelu", lambda a, b: np.where(a < 0, a * b, a)),
    )
]  # fmt: skip
BINARY += [
    Case("Mod", np.fmod, ("a", "b"), {"fmod": 1}, signed=True),
    Case("Mod", np.mod, ("a", "b")),
    Case("Where", np.where, ("c", "a", "b"), signed=True),
]


def _reduce(function: Callable[..., Any]) -> Callable[[Array], Any]:
    return lambda rows: function(rows, axis=1, keepdims=True)


def _log_sum_exp(rows: Array) -> Array:
    return np.asarray(_torch(lambda t: torch.logsumexp(t, 1, keepdim=True))(rows))


def _last(function: Callable[..., Any]) -> Callable[[Array], Array]:
    return lambda rows: 5 - function(rows[:, ::-1], axis=1, keepdims=True)


def _hardmax(rows: Array) -> Array:
    return np.asarray(np.arange(6) == np.argmax(rows, axis=1, keepdims=True)).astype(rows.dtype)


def _top(rows: Array, largest: bool) -> tuple[Array, Array]:
    keys = [sorted(range(6), key=lambda i: _key(row[i], largest)) for row in rows]
    places = np.array(keys)[:, :4]
    return np.take_along_axis(rows, places, 1), places.astype(np.int64)


def _key(value: float, largest: bool) -> tuple[int, float]:
    rank = 1 if math.isnan(value) else 0
    return (-rank, 0 if rank else -value) if largest else (rank, 0 if rank else value)


AXES = np.array([1])
ROWWISE = [
    Case(operator, _reduce(function), ("rows", AXES))
    for operator, function in (
        ("ReduceMax", np.max), ("ReduceMin", np.min), ("ReduceSum", np.sum), ("ReduceMean", np.mean),
        ("ReduceProd", np.prod), ("ReduceL1", lambda r, **o: np.sum(np.abs(r), **o)),
        ("ReduceL2", lambda r, **o: np.sqrt(np.sum(r * r, **o))),
        ("ReduceSumSquare", lambda r, **o: np.sum(r * r, **o)),
        ("ReduceLogSum", lambda r, **o: np.log(np.sum(r, **o))),
    )
]  # fmt: skip
ROWWISE += [
    Case("ReduceLogSumExp", _log_sum_exp, ("rows", AXES)),
    Case("ReduceMax", lambda r: np.max(r, axis=0), ("rows", np.array([0])), {"keepdims": 0}),
    Case("ArgMax", _reduce(np.argmax), ("rows",), {"axis": 1}),
    Case("ArgMin", _reduce(np.argmin), ("rows",), {"axis": 1}),
    Case("ArgMax", _last(np.argmax), ("rows",), {"axis": 1, "select_last_index": 1}),
    Case("ArgMin", _last(np.argmin), ("rows",), {"axis": 1, "select_last_index": 1}),
    Case("ArgMax", lambda r: np.argmax(r, axis=0), ("rows",), {"axis": 0, "keepdims": 0}),
    Case("TopK", lambda r: _top(r, True), ("rows", np.array([4])), {"axis": 1}, outputs=2),
    Case("TopK", lambda r: _top(r, False), ("rows", np.array([4])), {"axis": 1, "largest": 0}, outputs=2),
    Case("Softmax", _torch(lambda r: torch.softmax(r, 1)), ("rows",), {"axis": 1}),
    Case("LogSoftmax", _torch(lambda r: torch.log_softmax(r, 1)), ("rows",), {"axis": 1}),
    Case("Softmax", _torch(lambda r: torch.softmax(r, 0)), ("rows",), {"axis": 0}),
    Case("Hardmax", _hardmax, ("rows",), {"axis": 1}),
    Case("CumSum", lambda r: np.cumsum(r, 1), ("rows", np.array(1)), {}),
    Case(
        "LpNormalization",
        lambda r: r / np.sqrt(np.sum(r * r, 1, keepdims=True)),
        ("rows",),
        {"axis": 1, "p": 2},
    ),
]


def _pooled(kind: str, **options: Any) -> Callable[[Array], Array]:
    """Max, mean and 2-norm of windows of a picture, along its last axes."""
    kernel, stride, pad = options["kernel"], options["stride"], options["pad"]
    neutral = -INF if kind == "max" else NAN

    def pool(x: Array) -> Array:
        spatial = x.ndim - 2
        widths = [(0, 0)] * 2 + [(pad, pad)] * spatial
        inside = np.pad(np.ones(x.shape, bool), widths)
        padded = np.pad(x, widths, constant_values=neutral if kind == "max" else 0.0)
        axes = tuple(range(2, x.ndim))
        view = np.lib.stride_tricks.sliding_window_view(padded, (kernel,) * spatial, axes)
        masks = np.lib.stride_tricks.sliding_window_view(inside, (kernel,) * spatial, axes)
        step = (slice(None), slice(None), *[slice(None, None, stride)] * spatial)
        view, masks = view[step], masks[step]
        over = tuple(range(x.ndim, view.ndim))
        if kind == "max":
            return np.asarray(np.max(view, over))
        if kind == "mean":
            return np.asarray(np.sum(view, over) / np.sum(masks, over))
        return np.asarray(np.sqrt(np.sum(view * view, over)))

    return pool


def _pool_case(operator: str, kind: str, kernel: int, stride: int, pad: int, spatial: int = 2) -> Case:
    attributes = {
        "kernel_shape": [kernel] * spatial,
        "strides": [stride] * spatial,
        "pads": [pad] * 2 * spatial,
    }
    operand = {1: "lines", 2: "pictures", 3: "volumes"}[spatial]
    return Case(operator, _pooled(kind, kernel=kernel, stride=stride, pad=pad), (operand,), attributes)


def _max_pool_with_places(x: Array) -> tuple[Array, Array]:
    values, places = _torch(lambda t: F.max_pool2d(t, 2, 1, return_indices=True))(x)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1)
    return values, places + planes * (x.shape[2] * x.shape[3])


def _global(function: Callable[..., Any]) -> Callable[[Array], Array]:
    return lambda x: np.asarray(function(x, axis=(2, 3), keepdims=True))


POOLING = [
    *(_pool_case("MaxPool", "max", *sizes) for sizes in ((2, 1, 0), (3, 2, 1), (2, 2, 0), (3, 2, 1, 1), (2, 1, 1, 3))),
    *(_pool_case("AveragePool", "mean", *sizes) for sizes in ((2, 2, 0), (3, 2, 1), (3, 1, 1, 1))),
    *(_pool_case("LpPool", "norm", *sizes) for sizes in ((2, 2, 0), (3, 2, 1))),
    Case("MaxPool", _max_pool_with_places, ("pictures",), {"kernel_shape": [2, 2]}, outputs=2),
    Case("GlobalMaxPool", _global(np.max), ("pictures",)),
    Case("GlobalAveragePool", _global(np.mean), ("pictures",)),
    Case("GlobalLpPool", _global(lambda x, **o: np.sqrt(np.sum(x * x, **o))), ("pictures",)),
]  # fmt: skip
