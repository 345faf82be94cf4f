"""The nodes of random graphs: each function takes a value and adds one or more nodes, or none where it does not fit.

Nodes are drawn only where all right programs agree. Left out, because onnxruntime's own result is an accident of its
code or of the CPU:

- `Cast` of a float that the integer type cannot hold, and of NaN;
- integer `Div` and `Mod` by zero, and of the lowest number by -1;
- NaN in `Sign`, `Max`, `Min`, `Clip`, `ReduceMax`, `ReduceMin`, `ArgMax`, `ArgMin` and `MaxPool`, which onnxruntime
  drops or keeps by type and position (docs/operators.md says what we do, test_special_values.py holds us to it);
- division by a computed zero, whose sign `Max`, `Relu` and sums of zeros leave open;
- a rough value where a small difference becomes a large one: comparisons, roundings, indices, divisors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import helper

from .random_choices import branch, stored
from .random_graphs import DTYPES, ELEMENTS, LARGEST, ORDINARY, Graph, Value, broadcast

EXACT = ["Neg", "Abs", "Relu", "Floor", "Ceil", "Round", "Sign", "Sqrt", "Identity"]
BROKEN = {"Floor", "Ceil", "Round", "Sign", "Sqrt"}  # small differences become large ones
ROUGH = ["Exp", "Tanh", "Sigmoid", "Erf", "Sin", "Cos", "Atan", "Softplus", "Gelu", "Elu", "HardSwish"]


def unary(g: Graph, x: Value) -> None:
    if x.dtype == "bool":
        g.add("Not", [x], x)
        return
    if not x.floats:
        operator = g.choice(["Abs", "Sign", "Neg"] if x.dtype != "uint8" else ["Abs", "Sign", "BitwiseNot"])
        g.add(operator, [x], replace(x, bound=x.bound + 1 if operator != "BitwiseNot" else 255.0))
        return
    operator = g.choice(EXACT)
    if (x.rough and operator in BROKEN) or (x.special and operator == "Sign"):
        return
    g.add(operator, [x], replace(x, bound=x.bound + 1, special=x.special or operator == "Sqrt"))


def transcendental(g: Graph, x: Value) -> None:
    if not x.floats or x.rough or x.bound > 40 or g.palette == "extreme":
        return
    operator = g.choice(ROUGH)
    bound = {
        "Exp": math.exp(x.bound),
        "Softplus": x.bound + 1,
        "Elu": x.bound,
        "Gelu": x.bound,
        "HardSwish": x.bound,
    }
    g.add(operator, [x], replace(x, bound=bound.get(operator, 2.0), rough=True))


def arithmetic(g: Graph, x: Value) -> None:
    if x.dtype == "bool":
        return
    y = g.partner(x)
    shape = broadcast(x.shape, y.shape)
    operator = g.choice(["Add", "Sub", "Mul"])
    rough = x.rough or y.rough
    bound = x.bound * y.bound if operator == "Mul" else x.bound + y.bound
    # Infinity times a rough zero, and what is rough near the largest number.
    if shape is None or (rough and ((operator == "Mul" and (x.special or y.special)) or bound > 1e4)):
        return
    special = x.special or y.special
    g.add(operator, [x, y], Value("", x.dtype, shape, bound, special, rough))


def division(g: Graph, x: Value) -> None:
    if x.dtype == "bool":
        return
    shape = tuple(1 if g.chance(0.3) else extent for extent in x.shape)
    if x.floats:
        y = g.fresh(x.dtype, shape, "positive" if x.rough else None)
        largest = LARGEST[x.dtype]
        g.add(
            "Div", [x, y], replace(x, special=x.special or not x.rough, bound=x.bound if x.rough else largest)
        )
        return
    divisors = g.random.integers(1, 10, shape).astype(x.dtype)
    divisor = g.constant(divisors)
    g.add(g.choice(["Div", "Mod"]), [x, divisor], replace(x, bound=max(x.bound, 9.0)))


def extremum(g: Graph, x: Value) -> None:
    y = g.partner(x, "plain")
    shape = broadcast(x.shape, y.shape)
    if x.dtype == "bool" or x.special or shape is None:
        return
    g.add(g.choice(["Max", "Min"]), [x, y], replace(x, shape=shape, bound=max(x.bound, y.bound)))


def clip(g: Graph, x: Value) -> None:
    if x.dtype == "bool" or x.special:
        return
    low, high = (g.constant(np.array(value, DTYPES[x.dtype])) for value in (1, 3))
    g.add("Clip", [x, g.choice([low, ""]), g.choice([high, low])], replace(x, bound=max(x.bound, 3.0)))


def comparison(g: Graph, x: Value) -> None:
    if x.rough:
        return
    y = g.partner(x)
    shape = broadcast(x.shape, y.shape)
    if shape is None or y.rough:
        return
    operators = ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"]
    operator = g.choice(["And", "Or", "Xor", "Equal"] if x.dtype == "bool" else operators)
    g.add(operator, [x, y], Value("", "bool", shape, 1.0))


def bits(g: Graph, x: Value) -> None:
    if not x.integers:
        return
    y = g.partner(x)
    shape = broadcast(x.shape, y.shape)
    if shape is not None:
        operator = g.choice(["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
        g.add(operator, [x, y], replace(x, shape=shape, bound=float(np.iinfo(x.dtype).max) + 1))


def where(g: Graph, x: Value) -> None:
    y = g.partner(x)
    shape = broadcast(x.shape, y.shape)
    if shape is None:
        return
    masks = [each for each in g.values if each.dtype == "bool" and broadcast(shape, each.shape) is not None]
    mask = g.choice(masks) if masks and g.chance(0.7) else g.fresh("bool", shape)
    whole = broadcast(shape, mask.shape)
    if whole is not None:
        rough, special = x.rough or y.rough, x.special or y.special
        g.add("Where", [mask, x, y], Value("", x.dtype, whole, max(x.bound, y.bound), special, rough))


def cast(g: Graph, x: Value) -> None:
    dtype = g.choice([name for name in DTYPES if name != x.dtype])
    if x.floats and dtype not in LARGEST:
        if x.rough:
            return
        if dtype != "bool" and (x.special or x.bound >= np.iinfo(dtype).max or dtype == "uint8"):
            return
    if x.rough and (x.bound > 1e4 or x.dtype != "float32"):
        return
    bound = {"bool": 1.0, "uint8": 255.0}.get(dtype, x.bound)
    like = Value("", dtype, x.shape, bound, x.special and dtype in LARGEST, x.rough)
    g.add("Cast", [x], like, to=helper.np_dtype_to_tensor_dtype(DTYPES[dtype]))


# -- views and moves --------------------------------------------------------------------------------------------------


def transpose(g: Graph, x: Value) -> None:
    order = [int(axis) for axis in g.random.permutation(len(x.shape))]
    if order:
        g.add("Transpose", [x], replace(x, shape=tuple(x.shape[axis] for axis in order)), perm=order)


def reshape(g: Graph, x: Value) -> None:
    if x.size == 0:
        return
    shape: list[int] = []
    left = x.size
    while left > 1 and len(shape) < 4:
        factor = g.choice([factor for factor in range(1, left + 1) if left % factor == 0])
        shape.append(factor)
        left //= factor
    shape += [left] if left > 1 or not shape else []
    asked = list(shape)
    if g.chance(0.3):
        asked[int(g.random.integers(len(asked)))] = -1
    g.add("Reshape", [x, g.constant(np.array(asked, np.int64))], replace(x, shape=tuple(shape)))


def slices(g: Graph, x: Value) -> None:
    if not x.shape:
        return
    axis = int(g.random.integers(len(x.shape)))
    extent = x.shape[axis]
    start, end = (int(each) for each in g.random.integers(-extent - 1, extent + 2, 2))
    step = g.choice([1, 1, 2, -1, -2, 3])
    taken = range(extent)[slice(start, end, step)]
    if not len(taken) and g.chance(0.9):
        start, end, step = 0, extent, -1 if extent > 1 else 1
        start, end = (extent - 1, -extent - 1) if step == -1 else (0, extent)
        taken = range(extent)[::step]
    shape = (*x.shape[:axis], len(taken), *x.shape[axis + 1 :])
    operands = [g.constant(np.array([each], np.int64)) for each in (start, end, axis, step)]
    g.add("Slice", [x, *operands], replace(x, shape=shape))


def expand(g: Graph, x: Value) -> None:
    wanted = tuple(g.choice([2, 3, 5]) if extent == 1 else extent for extent in x.shape)
    wanted = (g.choice([1, 2, 3]), *wanted) if len(wanted) < 5 else wanted
    if math.prod(wanted) <= ELEMENTS:
        g.add("Expand", [x, g.constant(np.array(wanted, np.int64))], replace(x, shape=wanted))


def squeeze(g: Graph, x: Value) -> None:
    ones = [axis for axis, extent in enumerate(x.shape) if extent == 1]
    if ones and g.chance(0.5):
        axis = g.choice(ones)
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        g.add("Squeeze", [x, g.constant(np.array([axis], np.int64))], replace(x, shape=shape))
    elif len(x.shape) < 5:
        axis = int(g.random.integers(len(x.shape) + 1))
        shape = (*x.shape[:axis], 1, *x.shape[axis:])
        g.add("Unsqueeze", [x, g.constant(np.array([axis], np.int64))], replace(x, shape=shape))


def concat(g: Graph, x: Value) -> None:
    if not x.shape:
        return
    axis = int(g.random.integers(len(x.shape)))
    same = [
        each
        for each in g.values
        if each.dtype == x.dtype
        and len(each.shape) == len(x.shape)
        and all(a == b for place, (a, b) in enumerate(zip(each.shape, x.shape, strict=True)) if place != axis)
    ]
    parts = [x, *(g.choice(same) for _ in range(g.choice([1, 2])))]
    extent = sum(part.shape[axis] for part in parts)
    shape = (*x.shape[:axis], extent, *x.shape[axis + 1 :])
    if math.prod(shape) <= ELEMENTS:
        like = Value("", x.dtype, shape, max(part.bound for part in parts))
        special, rough = any(part.special for part in parts), any(part.rough for part in parts)
        g.add("Concat", parts, replace(like, special=special, rough=rough), axis=axis)


def pad(g: Graph, x: Value) -> None:
    if not x.shape or x.size == 0:
        return
    mode = g.choice(["constant", "edge", "reflect"])
    most = [extent - 1 if mode == "reflect" else 2 for extent in x.shape]
    sides = [int(g.random.integers(0, min(each, 2) + 1)) for each in most * 2]
    shape = tuple(e + sides[i] + sides[i + len(x.shape)] for i, e in enumerate(x.shape))
    if math.prod(shape) <= ELEMENTS:
        g.add("Pad", [x, g.constant(np.array(sides, np.int64))], replace(x, shape=shape), mode=mode)


def gather(g: Graph, x: Value) -> None:
    if not x.shape or 0 in x.shape:
        return
    axis = int(g.random.integers(len(x.shape)))
    extent = x.shape[axis]
    places = g.random.integers(-extent, extent, g.choice([(), (3,), (2, 2)]))
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    if len(shape) <= 5 and math.prod(shape) <= ELEMENTS:
        g.add("Gather", [x, g.constant(np.asarray(places))], replace(x, shape=shape), axis=axis)


# -- over axes --------------------------------------------------------------------------------------------------------


def reduction(g: Graph, x: Value) -> None:
    if not x.shape or 0 in x.shape or x.dtype == "bool":
        return
    axes = sorted({int(axis) for axis in g.random.integers(0, len(x.shape), 2)})
    keep = int(g.chance(0.5))
    shape = tuple(1 if i in axes else e for i, e in enumerate(x.shape) if keep or i not in axes)
    count = math.prod(x.shape[axis] for axis in axes)
    operator = g.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
    like = replace(x, shape=shape)
    if operator in {"ReduceMax", "ReduceMin"}:
        if x.special:
            return
    elif x.floats:
        if x.bound * count > 1e4:
            return
        like = replace(like, bound=x.bound * count, rough=True)
    elif operator == "ReduceMean" or x.dtype in {"int8", "uint8"} or x.bound * count > np.iinfo(x.dtype).max:
        return  # how a mean of integers is rounded is open, sums of 8 bits are not in the standard
    else:
        like = replace(like, bound=x.bound * count)
    g.add(operator, [x, g.constant(np.array(axes, np.int64))], like, keepdims=keep)


def extreme_index(g: Graph, x: Value) -> None:
    if not x.shape or 0 in x.shape or x.dtype == "bool" or x.special or x.rough:
        return
    axis = int(g.random.integers(len(x.shape)))
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    like = Value("", "int64", shape, float(x.shape[axis]))
    g.add(g.choice(["ArgMax", "ArgMin"]), [x], like, axis=axis, select_last_index=int(g.chance(0.3)))


def softmax(g: Graph, x: Value) -> None:
    if x.shape and x.floats and 0 not in x.shape and x.bound <= 1e3 and not (x.rough and x.special):
        axis = int(g.random.integers(-len(x.shape), len(x.shape)))
        like = replace(x, bound=1.0 if not x.special else x.bound, rough=True)
        g.add("Softmax", [x], like, axis=axis)


def cumulation(g: Graph, x: Value) -> None:
    if not x.shape or x.dtype not in {"float32", "int32", "int64"}:
        return
    axis = int(g.random.integers(len(x.shape)))
    bound = x.bound * max(1, x.shape[axis])
    if x.dtype == "float32" and bound > 1e4:
        return
    options = {"exclusive": int(g.chance(0.3)), "reverse": int(g.chance(0.3))}
    like = replace(x, bound=bound, rough=x.floats)
    g.add("CumSum", [x, g.constant(np.array(axis, np.int64))], like, **options)


def product(g: Graph, x: Value) -> None:
    if len(x.shape) < 2 or x.dtype not in {"float32", "float16", "bfloat16", "int32"}:
        return
    depth = x.shape[-1]
    wide = g.choice([1, 3, 8, 13])
    bound = x.bound * max(depth, 1) * ORDINARY
    if x.floats and bound > 1e4:
        return
    y = g.fresh(x.dtype, (*(x.shape[:-2] if g.chance(0.3) else ()), depth, wide), "plain")
    shape = (*x.shape[:-1], wide)
    if math.prod(shape) <= ELEMENTS:
        like = replace(x, shape=shape, bound=x.bound * max(depth, 1) * y.bound, rough=x.floats)
        g.add("MatMul", [x, y], like)


def window(g: Graph, x: Value) -> None:
    """A convolution or a pool of a picture, or of a line."""
    if len(x.shape) not in {3, 4} or 0 in x.shape or x.dtype not in {"float32", "float16"} or x.bound > 100:
        return
    spatial = x.shape[2:]
    kernel = [g.choice([k for k in (1, 2, 3, 5) if k <= extent]) for extent in spatial]
    strides = [g.choice([1, 1, 2]) for _ in spatial]
    before, after = ([g.choice([0, k // 2]) for k in kernel] for _ in range(2))
    sizes = [
        (e + b + a - k) // s + 1
        for e, k, s, b, a in zip(spatial, kernel, strides, before, after, strict=True)
    ]
    options: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": before + after}
    operator = g.choice(["Conv", "Conv", "MaxPool", "AveragePool"])
    if operator == "MaxPool" and x.special:
        return
    if operator != "Conv":
        shape = (*x.shape[:2], *sizes)
        if operator == "AveragePool":
            options["count_include_pad"] = int(g.chance(0.5))
        g.add(operator, [x], replace(x, shape=shape, rough=x.rough or operator == "AveragePool"), **options)
        return
    groups = g.choice([each for each in (1, 1, x.shape[1]) if each <= 8] or [1])
    channels = groups * g.choice([1, 2, 5])
    weights = g.fresh(x.dtype, (channels, x.shape[1] // groups, *kernel), "plain")
    shape = (x.shape[0], channels, *sizes)
    bound = x.bound * ORDINARY * math.prod(weights.shape[1:])
    if bound <= 1e4 and math.prod(shape) <= ELEMENTS:
        g.add("Conv", [x, weights], replace(x, shape=shape, bound=bound, rough=True), group=groups, **options)


MAKERS: list[Callable[[Graph, Value], None]] = [
    unary, unary, transcendental, transcendental, arithmetic, arithmetic, arithmetic, division, extremum, clip,
    comparison, bits, where, cast, cast, transpose, transpose, reshape, reshape, slices, slices, expand, squeeze,
    concat, pad, gather, reduction, reduction, extreme_index, softmax, cumulation, product, window, window,
    branch, branch, stored, stored,
]  # fmt: skip
KINDS = ["float32"] * 5 + ["float16", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "bool"]


def drawn(seed: int) -> Graph:
    """The graph of that seed."""
    random = np.random.default_rng(seed)
    g = Graph(random, str(random.choice(["plain", "special", "extreme"], p=[0.5, 0.3, 0.2])))
    g.fresh(g.choice(KINDS), g.shape())
    count = int(random.integers(4, 13))
    while len(g.nodes) < count:
        # Later values are likelier, so that chains grow; others get a second reader.
        x = g.values[-1] if g.chance(0.6) else g.choice(g.values)
        g.choice(MAKERS)(g, x)
    return g
