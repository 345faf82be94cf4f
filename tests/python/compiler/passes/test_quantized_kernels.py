"""Kernels of 8-bit integers against int64 NumPy, in wasmtime, compiled without SIMD, with it, and with relaxed SIMD."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from wasmgrad._errors import InvalidArgument
from wasmgrad.compiler.passes import kernels as k

from . import kernel_library
from .kernel_library import DETERMINISTIC, VARIANTS, Array, Library
from .test_kernels import ACTIVATIONS, activate, padded, windows

SYMBOLS = [
    "conv2d_quantized_gemm", "conv2d_quantized_depthwise", "matmul_quantized", "quantize", "add_quantized", "max",
    "min",
]  # fmt: skip


@pytest.fixture(scope="module", params=[*VARIANTS, DETERMINISTIC])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return kernel_library.library(request.param, SYMBOLS, tmp_path_factory.mktemp("quantized"))


def bytes_of(rng: np.random.Generator, dtype: str, *shape: int) -> Array:
    """All values of the type, the extreme ones often: sums of products of those leave 16 bits."""
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, shape, endpoint=True)
    extreme = rng.choice([limits.min, limits.max], shape)
    return np.where(rng.random(shape) < 0.3, extreme, values).astype(dtype)


def expected(
    q: k.Quantization, columns: k.Columns, factor: float, sums: Array, residual: Array | None
) -> tuple[Array, float]:
    """What becomes of exact sums [..., n], less zero points, and how far off a right result may be."""
    total = sums + np.asarray(columns.bias, np.int64)
    if q.result == "int32":
        return total, 0
    real = total * (np.asarray(columns.scale, np.float64) * factor) + np.asarray(columns.offset, np.float64)
    if q.result == "float32":
        real = real if residual is None else real + residual
        return activate(q.activation, real), 1e-5 * max(1.0, float(np.abs(real).max()))
    return np.clip(np.rint(real) + q.zero, q.low, q.high), 1


def check(result: Array, right: Array, tolerance: float) -> None:
    """Results of 8 bits may be one off, but only where the number before it was rounded lies in the middle."""
    difference = np.abs(result.astype(np.float64) - right)
    assert difference.max(initial=0) <= tolerance
    if tolerance == 1:
        assert np.count_nonzero(difference) <= max(1, result.size // 500)


def drawn(
    rng: np.random.Generator, n: int, products: int, shifted: bool
) -> tuple[k.Quantization, k.Columns, float]:
    """A result of any kind, with what belongs to its columns."""
    result: Any = rng.choice(["int32", "float32", "int8", "uint8"])
    scale = rng.uniform(0.5, 1.5, n).astype(np.float32) / np.float32(100 * math.sqrt(products))
    columns = k.Columns(
        bias=rng.integers(-1000, 1000, n) if result != "float32" else 0,
        zeros=rng.integers(-128, 128, n) if shifted else 0,
        scale=scale if rng.random() < 0.7 else scale[0],
        offset=rng.normal(size=n).astype(np.float32) if result != "int32" and rng.random() < 0.5 else 0.0,
    )
    q = k.Quantization(
        bool(rng.integers(2)), result, weights_shifted=shifted, has_offset=bool(np.any(columns.offset))
    )
    if result == "float32":
        activation = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
        return replace(q, activation=activation, has_residual=bool(rng.integers(2))), columns, 0.75
    if result == "int32":
        return q, columns, 1.0
    limits = np.iinfo(result)
    zero = int(rng.integers(limits.min, limits.max, endpoint=True))
    low, high = sorted(int(v) for v in rng.integers(limits.min, limits.max, 2, endpoint=True))
    bounds = {"low": low, "high": high} if rng.random() < 0.5 else {}
    return replace(q, zero=zero, **bounds), columns, 1.0


def x_type(q: k.Quantization) -> str:
    return "int8" if q.x_signed else "uint8"


@pytest.mark.parametrize("seed", range(60))
def test_matrix_product(library: Library, seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, depth, n = (
        int(rng.choice(sizes))
        for sizes in ([1, 2, 5, 6, 7, 13, 40], [1, 3, 4, 17, 64, 300], [1, 7, 8, 9, 33, 80])
    )
    constant, transposed, batched, shifted = (bool(flag) for flag in rng.integers(0, 2, 4))
    q, columns, factor = drawn(rng, n, depth, shifted)
    b_signed = constant or bool(rng.integers(2))
    batch = int(rng.integers(1, 4))
    d = k.MatMulQuantized(
        m, depth, n, q, batch, b_is_constant=constant, b_transposed=transposed, b_signed=b_signed, b_batched=batched,
        lanes=library.lanes,
    )  # fmt: skip
    a = bytes_of(rng, x_type(q), batch, m, depth)
    b = bytes_of(
        rng,
        "int8" if b_signed else "uint8",
        *([batch] if batched else []),
        *((n, depth) if transposed else (depth, n)),
    )
    zero = bytes_of(rng, x_type(q), 1)
    residual = {"residual": rng.normal(size=(batch, m, n))} if q.has_residual else {}
    # A computed b of uint8 is packed 128 less, and so are the zero points of its columns.
    zeros = np.asarray(columns.zeros) + (0 if b_signed else 128)
    if not b_signed and not shifted:
        d = replace(d, quantization=replace(q, weights_shifted=True))
        columns = replace(columns, zeros=-128)
        zeros = np.asarray(0)
    wide = b.astype(np.int64)
    sums = (a.astype(np.int64) - int(zero[0])) @ ((wide.swapaxes(-1, -2) if transposed else wide) - zeros)
    single = columns
    if batched and constant:
        columns = replace(
            columns,
            **{name: _tiled(getattr(columns, name), batch) for name in ("bias", "zeros", "scale", "offset")},
        )
    packed = d.pack_columns(columns, b if constant else None)
    y = library.run(
        d, (batch, m, n), q.result, x=a, zero=zero, factor=np.float32([factor]), b=d.pack(b) if constant else b,
        columns=packed, **residual,
    )  # fmt: skip
    check(y, *expected(q, single, factor, sums, residual.get("residual")))


def _tiled(vector: Any, batch: int) -> Any:
    return np.tile(vector, batch) if np.ndim(vector) else vector


def random_conv(rng: np.random.Generator, lanes: int, depthwise: bool) -> k.Conv2d:
    kernel, stride, dilation = (rng.choice(c, 2) for c in ([1, 2, 3, 5, 7], [1, 1, 2, 3], [1, 1, 2]))
    if rng.random() < 0.25 and not depthwise:
        kernel[:] = 1
    pad = [int(rng.integers(0, size + 1)) for size in kernel]
    out = rng.integers(1, 12, 2)
    reach = (out - 1) * stride + (kernel - 1) * dilation + 1 - pad
    size = [max(1, int(r) - int(rng.integers(0, 3))) for r in reach]
    groups = int(rng.integers(2, 50)) if depthwise else int(rng.choice([1, 1, 2, 3]))
    in_c, out_c = (
        (groups, groups)
        if depthwise
        else (groups * int(rng.integers(1, 40)), groups * int(rng.integers(1, 40)))
    )
    return k.Conv2d(
        int(rng.integers(1, 3)), *size, in_c, *map(int, out), out_c, *map(int, kernel), *map(int, stride),
        *map(int, dilation), *pad, groups=groups, lanes=lanes,
    )  # fmt: skip


@pytest.mark.parametrize("depthwise", [False, True], ids=["dense", "depthwise"])
@pytest.mark.parametrize("seed", range(60))
def test_convolution_of_any_shape(library: Library, seed: int, depthwise: bool) -> None:
    rng = np.random.default_rng(seed)
    d = random_conv(rng, library.lanes, depthwise)
    products = d.kernel_h * d.kernel_w * d.in_c // d.groups
    q, columns, factor = drawn(rng, d.out_c, products, shifted=bool(rng.integers(2)))
    kernel = k.Conv2dQuantized(d, q)
    assert kernel.algorithm == ("depthwise" if depthwise and not q.weights_shifted else "gemm")
    x = bytes_of(rng, x_type(q), d.batch, d.in_h, d.in_w, d.in_c)
    weights = bytes_of(rng, "int8", d.out_c, d.kernel_h, d.kernel_w, d.in_c // d.groups)
    zero = bytes_of(rng, x_type(q), 1)
    shape = (d.batch, d.out_h, d.out_w, d.out_c)
    residual = {"residual": rng.normal(size=shape)} if q.has_residual else {}
    y = library.run(
        kernel, shape, q.result, x=x, zero=zero, factor=np.float32([factor]), weights=kernel.pack(weights),
        columns=kernel.pack_columns(columns, weights), **residual,
    )  # fmt: skip
    centred = weights.astype(np.int64) - np.broadcast_to(columns.zeros, (d.out_c,)).reshape(-1, 1, 1, 1)
    taps = np.stack(windows(d, padded(d, x.astype(np.int64) - int(zero[0]), 0)), -2)
    taps = taps.reshape(*taps.shape[:-1], d.groups, -1)
    grouped = centred.reshape(d.groups, d.out_c // d.groups, d.kernel_h * d.kernel_w, -1)
    sums = np.einsum("bhwtgc,gotc->bhwgo", taps, grouped.astype(np.float64)).reshape(shape)
    check(y, *expected(q, columns, factor, sums.astype(np.int64), residual.get("residual")))


@pytest.mark.parametrize("result", ["int8", "uint8"])
def test_halves_go_to_the_even_number_and_large_sums_to_the_bounds(library: Library, result: Any) -> None:
    values = np.uint8([[0], [1], [2], [3], [5], [255]])
    zero = 0 if result == "int8" else 100
    d = k.MatMulQuantized(6, 1, 1, k.Quantization(False, result, zero=zero), lanes=library.lanes)
    weights = np.int8([[1]])
    for scale in (0.5, -0.5, 1e6, -1e6, 3e37, -3e37):
        columns = d.pack_columns(k.Columns(scale=scale), weights)
        y = library.run(
            d, (6, 1), result, x=values, zero=np.uint8([0]), factor=np.float32([1]), b=d.pack(weights), columns=columns
        )  # fmt: skip
        limits = np.iinfo(result)
        right = np.clip(np.rint(values * np.float64(scale)) + zero, limits.min, limits.max)
        np.testing.assert_array_equal(y, right)


@pytest.mark.parametrize("x", [0, 255])
@pytest.mark.parametrize("weight", [-128, 127])
def test_the_longest_sums_of_extremes_are_exact(library: Library, x: int, weight: int) -> None:
    depth = 4096
    d = k.MatMulQuantized(7, depth, 9, k.Quantization(False), lanes=library.lanes)
    b = np.full((depth, 9), weight, np.int8)
    y = library.run(
        d, (7, 9), "int32", x=np.full((7, depth), x, np.uint8), zero=np.uint8([255 - x]), factor=np.float32([1]),
        b=d.pack(b), columns=d.pack_columns(k.Columns(), b),
    )  # fmt: skip
    np.testing.assert_array_equal(y, depth * (x - (255 - x)) * weight)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 1003])
def test_quantization_of_floats(library: Library, count: int, dtype: Any) -> None:
    rng = np.random.default_rng(count)
    limits, scale = np.iinfo(dtype), np.float32(0.037)
    zero = int(rng.integers(limits.min, limits.max))
    x = (rng.normal(size=count) * 4).astype(np.float32)
    special = np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.5 * scale, 1.5 * scale, -0.0])
    x[: min(count, 8)] = special[: min(count, 8)]
    d = k.Quantize(count, dtype, limits.min, limits.max - 3)
    y = library.run(d, (count,), dtype, x=x, scale=scale.reshape(1), zero=np.array([zero], dtype))
    with np.errstate(invalid="ignore"):
        right = np.clip(np.rint(x / scale) + zero, limits.min, limits.max - 3)
    np.testing.assert_array_equal(y, np.where(np.isnan(x), 0, right))


@pytest.mark.parametrize("result", ["int8", "uint8"])
@pytest.mark.parametrize("types", [("int8", "uint8"), ("uint8", "uint8"), ("int8", "int8")])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 1003])
def test_sum_of_quantized_tensors(library: Library, count: int, types: tuple[Any, Any], result: Any) -> None:
    rng = np.random.default_rng(count)
    limits = np.iinfo(result)
    a, b = (bytes_of(rng, dtype, count) for dtype in types)
    zero, low = int(rng.integers(limits.min, limits.max)), limits.min + 5
    d = k.AddQuantized(count, *types, result, zero, low, limits.max, 0.31416, 0.27183, -1.7321)
    y = library.run(d, (count,), result, a=a, b=b)
    real = (
        a * np.float64(np.float32(0.31416))
        + b * np.float64(np.float32(0.27183))
        - np.float64(np.float32(1.7321))
    )
    check(y, np.clip(np.rint(real) + zero, low, limits.max), 1)


@pytest.mark.parametrize("count", [1, 3, 16, 17, 1003])
@pytest.mark.parametrize("kind", ["max", "min"])
def test_extremes(library: Library, kind: Any, count: int) -> None:
    x = np.random.default_rng(count).normal(size=count).astype(np.float32)
    right = x.max() if kind == "max" else x.min()
    assert library.run(k.Extreme(kind, count), (1,), x=x)[0] == right
    for place in {0, count // 2, count - 1}:
        spoilt = x.copy()
        spoilt[place] = np.nan
        assert np.isnan(library.run(k.Extreme(kind, count), (1,), x=spoilt)[0])
    x[count - 1] = np.inf if kind == "max" else -np.inf
    assert library.run(k.Extreme(kind, count), (1,), x=x)[0] == x[count - 1]


def test_what_int32_cannot_sum_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="products"):
        k.MatMulQuantized(1, k.MAX_DEPTH + 1, 1, k.Quantization(False))


def test_bounds_of_nothing_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="bounds"):
        k.Quantization(False, "uint8", low=9, high=3)
    with pytest.raises(InvalidArgument, match="zero point"):
        k.Quantization(False, "uint8", zero=-1)
