"""Every kernel of floats against float64 NumPy, in wasmtime, compiled without SIMD, with it, and with relaxed SIMD."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from wasmgrad._errors import InvalidArgument
from wasmgrad.compiler.passes import kernels as k

from . import kernel_library
from .kernel_library import VARIANTS, Array, Library

ACTIVATIONS = [
    k.Activation(),
    k.Activation("relu"),
    k.Activation("clip", -0.25, 0.5),
    k.Activation("sigmoid"),
    k.Activation("swish"),
    k.Activation("hardswish"),
    k.Activation("gelu"),
    k.Activation("tanh"),
]
SYMBOLS = [
    "conv2d_gemm", "conv2d_direct", "conv2d_plane", "conv2d_winograd", "conv2d_depthwise", "conv2d_depthwise_shared",
    "matmul", "pool2d", "softmax", "layer_norm", "gru", "gru_reset", "gru_update", "lstm", "transpose", "exp", "log",
    "erf", "tanh", "sigmoid", "swish", "hardswish", "gelu", "expand",
]  # fmt: skip


@pytest.fixture(scope="module", params=VARIANTS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return kernel_library.library(request.param, SYMBOLS, tmp_path_factory.mktemp("kernels"))


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def activate(activation: k.Activation, x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[np.float64])
    functions: dict[str, Callable[[Array], Array]] = {
        "none": lambda x: x,
        "relu": lambda x: np.maximum(x, 0),
        "clip": lambda x: np.clip(x, activation.low, activation.high),
        "exp": np.exp,
        "log": np.log,
        "erf": erf,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "swish": lambda x: x / (1 + np.exp(-x)),
        "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
        "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
        "tanh": np.tanh,
    }
    return functions[activation.kind](x)


def padded(d: k.Conv2d | k.Pool2d, x: Array, value: float) -> Array:
    """x with padding on all sides, wide enough for every window."""
    bottom = (d.out_h - 1) * d.stride_h + (d.kernel_h - 1) * d.dilation_h + 1 - d.pad_top - d.in_h
    right = (d.out_w - 1) * d.stride_w + (d.kernel_w - 1) * d.dilation_w + 1 - d.pad_left - d.in_w
    sides = ((0, 0), (d.pad_top, max(bottom, 0)), (d.pad_left, max(right, 0)), (0, 0))
    return np.pad(x.astype(np.float64), sides, constant_values=value)


def windows(d: k.Conv2d | k.Pool2d, x: Array) -> list[Array]:
    """For each tap of the kernel, what it sees of padded x for every output."""
    return [
        x[:, i * d.dilation_h :: d.stride_h, j * d.dilation_w :: d.stride_w][:, : d.out_h, : d.out_w]
        for i in range(d.kernel_h)
        for j in range(d.kernel_w)
    ]


def convolve(d: k.Conv2d, x: Array, weights: Array, bias: Array | None, residual: Array | None) -> Array:
    taps = np.stack(windows(d, padded(d, x, 0)), -2)
    taps = taps.reshape(*taps.shape[:-1], d.groups, -1)
    grouped = weights.astype(np.float64).reshape(d.groups, d.out_c // d.groups, d.kernel_h * d.kernel_w, -1)
    y = np.einsum("bhwtgc,gotc->bhwgo", taps, grouped, optimize=True).reshape(*taps.shape[:3], d.out_c)
    if bias is not None:
        y = y + bias
    if residual is not None:
        y = y + residual
    return activate(d.activation, y)


def special(seed: int, *shape: int) -> Array:
    """Normal values, some of which became infinite or NaN."""
    x = normal(seed, *shape)
    places = np.random.default_rng(seed).permutation(x.size)[: max(3, x.size // 200)]
    x.reshape(-1)[places] = np.resize(np.float32([np.nan, np.inf, -np.inf]), places.size)
    return x


def loaded(library: Library, d: k.Conv2d, weights: Array) -> Array:
    """Weights as the kernel reads them."""
    packed = d.pack(weights)
    stored = None if d.arrangement == "as stored" else k.store(packed, None, d.arrangement, library.lanes)
    return packed if stored is None else library.expand(stored)


def check_conv(library: Library, d: k.Conv2d, with_bias: bool = True, values: Any = normal) -> None:
    x = values(1, d.batch, d.in_h, d.in_w, d.in_c)
    fan_in = d.kernel_h * d.kernel_w * d.in_c // d.groups
    weights = normal(2, d.out_c, d.kernel_h, d.kernel_w, d.in_c // d.groups) / np.float32(math.sqrt(fan_in))
    bias = normal(3, d.out_c) if with_bias else None
    shape = (d.batch, d.out_h, d.out_w, d.out_c)
    residual = {"residual": normal(4, *shape)} if d.has_residual else {}
    y = library.run(d, shape, x=x, weights=loaded(library, d, weights), bias=d.pack_bias(bias), **residual)
    np.testing.assert_allclose(
        y,
        convolve(d, x, weights, bias, residual.get("residual")),
        rtol=0,
        atol=1e-4 if d.algorithm == "winograd" else 3e-5,
    )


def random_conv(rng: np.random.Generator, lanes: int, depthwise: bool) -> k.Conv2d:
    kernel, stride, dilation = (rng.choice(c, 2) for c in ([1, 2, 3, 5, 7], [1, 1, 2, 3], [1, 1, 2]))
    pad = [int(rng.integers(0, size + 1)) for size in kernel]
    out = rng.integers(1, 12, 2)
    reach = (out - 1) * stride + (kernel - 1) * dilation + 1 - pad
    size = [
        max(1, int(r) - int(rng.integers(0, 3))) for r in reach
    ]  # up to two pixels are padding at the far end
    groups = int(rng.integers(2, 20)) if depthwise else int(rng.choice([1, 1, 2, 3]))
    in_c, out_c = (
        (groups, groups)
        if depthwise
        else (groups * int(rng.integers(1, 20)), groups * int(rng.integers(1, 40)))
    )
    return k.Conv2d(
        int(rng.integers(1, 3)), *size, in_c, *map(int, out), out_c, *map(int, kernel), *map(int, stride),
        *map(int, dilation), *pad, groups=groups, has_residual=bool(rng.integers(2)),
        activation=ACTIVATIONS[rng.integers(len(ACTIVATIONS))], lanes=lanes,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_convolution_of_any_shape(library: Library, seed: int) -> None:
    d = random_conv(np.random.default_rng(seed), library.lanes, depthwise=False)
    check_conv(library, d, with_bias=seed % 3 > 0)


@pytest.mark.parametrize("seed", range(40))
def test_depthwise_convolution_of_any_shape(library: Library, seed: int) -> None:
    d = random_conv(np.random.default_rng(seed), library.lanes, depthwise=True)
    assert d.algorithm.startswith("depthwise")
    check_conv(library, d, with_bias=seed % 3 > 0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("channels", [7, 8])
def test_depthwise_convolution_of_whole_blocks(
    library: Library, channels: int, kernel: int, stride: int
) -> None:
    pad = kernel // 2
    d = k.Conv2d(
        1, 15, 19, channels, -(-15 // stride), -(-19 // stride), channels, kernel, kernel, stride, stride,
        pad_top=pad, pad_left=pad - 1, groups=channels, lanes=library.lanes,
    )  # fmt: skip
    check_conv(library, d)


@pytest.mark.parametrize("width", [4, 5, 7, 8, 9, 13, 16])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (5, 4), (2, 7)])
@pytest.mark.parametrize("channels", [2, 16, 23])
@pytest.mark.parametrize("activation", ACTIVATIONS[1::3], ids=lambda activation: activation.kind)
def test_depthwise_convolution_whose_neighbours_share_what_they_see(
    library: Library, width: int, kernel: tuple[int, int], channels: int, activation: k.Activation
) -> None:
    d = k.Conv2d(
        2, 6, width + 1, channels, 5, width, channels, *kernel, dilation_h=1 + width % 2, pad_top=kernel[0] // 2,
        pad_left=width % kernel[1], groups=channels, activation=activation, has_residual=width > 7,
        lanes=library.lanes,
    )  # fmt: skip
    assert d.algorithm == "depthwise_shared"
    check_conv(library, d)


def test_depthwise_convolution_of_more_rows_than_are_copied_at_a_time(library: Library) -> None:
    d = k.Conv2d(1, 21, 400, 18, 21, 400, 18, 5, 5, pad_top=2, pad_left=2, groups=18, lanes=library.lanes)
    assert d.scratch_bytes() <= 1 << 18
    check_conv(library, d)


@pytest.mark.parametrize("size", [(1, 20, 24), (2, 13, 9), (1, 7, 7), (3, 4, 5)])
@pytest.mark.parametrize("pad", [(1, 1), (0, 0), (0, 1), (2, 2)])
@pytest.mark.parametrize("residual", [False, True])
def test_winograd_convolution(
    library: Library, size: tuple[int, int, int], pad: tuple[int, int], residual: bool
) -> None:
    batch, height, width = size
    d = k.Conv2d(
        batch, height, width, 20, height + pad[0] - 1, width + pad[1] - 1, 36, 3, 3, pad_top=pad[0], pad_left=pad[1],
        activation=k.Activation("relu"), has_residual=residual, lanes=library.lanes,
    )  # fmt: skip
    check_conv(library, d)


@pytest.mark.parametrize("size", [(2, 13, 9), (1, 7, 7), (1, 24, 4)])
@pytest.mark.parametrize(("out_c", "groups"), [(36, 1), (20, 20), (6, 1)])
@pytest.mark.parametrize("activation", [k.Activation(), k.Activation("clip", -1, 6)])
def test_infinities_and_nan_reach_the_outputs_that_see_them(
    library: Library, size: tuple[int, int, int], out_c: int, groups: int, activation: k.Activation
) -> None:
    batch, height, width = size
    d = k.Conv2d(
        batch, height, width, 20, height, width, out_c, 3, 3, pad_top=1, pad_left=1, groups=groups,
        activation=activation, has_residual=width == 9, lanes=library.lanes,
    )  # fmt: skip
    assert d.algorithm == {36: "winograd", 20: "depthwise_shared", 6: "direct"}[out_c]
    with np.errstate(invalid="ignore"):
        check_conv(library, d, values=special)


@pytest.mark.parametrize("channels", [6, 8, 13, 16])
@pytest.mark.parametrize(("pad", "stride"), [(0, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize(("height", "width"), [(5, 5), (1, 5), (5, 1)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_convolution_to_few_channels(
    library: Library, channels: int, pad: int, stride: int, height: int, width: int, activation: Any
) -> None:
    d = k.Conv2d(
        2, 14, 11, 3, height, width, channels, 3, 5, stride, stride, 2, 1, pad, pad,
        activation=k.Activation(activation), has_residual=True, lanes=library.lanes,
    )  # fmt: skip
    assert d.algorithm == "direct"
    check_conv(library, d)


@pytest.mark.parametrize("groups", [2, 3, 8])
@pytest.mark.parametrize("columns", [1, 4, 8, 13])
@pytest.mark.parametrize("per_group", [1, 4, 6])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_convolution_to_few_channels_of_each_group(
    library: Library, groups: int, columns: int, per_group: int, stride: int, dilation: int
) -> None:
    d = k.Conv2d(
        2, 9, 7, groups * per_group, -(-9 // stride), -(-7 // stride), groups * columns, 3, 3, stride, stride,
        dilation, dilation, dilation, dilation, groups, ACTIVATIONS[columns % len(ACTIVATIONS)],
        has_residual=stride == 1, lanes=library.lanes,
    )  # fmt: skip
    assert d.algorithm == ("direct" if per_group * columns > 1 else "depthwise_shared" if stride * dilation == 1
                           else "depthwise")  # fmt: skip
    check_conv(library, d)


@pytest.mark.parametrize("channels", [1, 3, 5, 6, 7, 12, 15])
@pytest.mark.parametrize(
    ("pad", "stride", "height", "width"), [(0, 1, 3, 8), (2, 1, 3, 11), (1, 2, 3, 28), (0, 1, 5, 5)]
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_convolution_of_one_channel_to_few(
    library: Library, channels: int, pad: int, stride: int, height: int, width: int, activation: Any
) -> None:
    d = k.Conv2d(
        2, 9, width + 4 - 2 * pad, 1, height, width, channels, 3, 5, stride, 1, 2, 1, pad, pad,
        activation=k.Activation(activation), lanes=library.lanes,
    )  # fmt: skip
    assert d.algorithm == ("plane" if channels % (2 * library.lanes) > 0 else "direct")
    check_conv(library, d)


@pytest.mark.parametrize("size", [7, 56])
def test_winograd_takes_the_tile_that_fits_the_picture(library: Library, size: int) -> None:
    d = k.Conv2d(1, size, size, 64, size, size, 64, 3, 3, pad_top=1, pad_left=1, lanes=library.lanes)
    assert d.algorithm == "winograd"
    check_conv(library, d)


@pytest.mark.parametrize("in_c", [300, 640])
def test_long_sums_are_added_in_parts(library: Library, in_c: int) -> None:
    d = k.Conv2d(1, 9, 9, in_c, 9, 9, 130, 1, 1, has_residual=True, lanes=library.lanes)
    check_conv(library, d)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.kind)
@pytest.mark.parametrize("kernel", [1, 3])
def test_activation_after_convolution(library: Library, activation: k.Activation, kernel: int) -> None:
    d = k.Conv2d(1, 8, 8, 16, 8, 8, 20, kernel, kernel, pad_top=kernel // 2, pad_left=kernel // 2,
                 activation=activation, has_residual=True, lanes=library.lanes)  # fmt: skip
    check_conv(library, d)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("sizes", [(1, 400, 10), (5, 7, 3), (4, 16, 32), (67, 300, 41), (1, 1, 1)])
def test_matrix_product(
    library: Library, sizes: tuple[int, int, int], batched: bool, constant: bool, transposed: bool
) -> None:
    m, depth, n = sizes
    d = k.MatMul(m, depth, n, 2, k.Activation("relu"), has_residual=m % 2 == 1, b_is_constant=constant,
                 b_transposed=transposed, b_batched=batched, lanes=library.lanes)  # fmt: skip
    a, bias = normal(1, 2, m, depth), normal(3, n)
    matrix = (n, depth) if transposed else (depth, n)
    b = normal(2, *((2, *matrix) if batched else matrix)) / np.float32(math.sqrt(depth))
    residual = {"residual": normal(4, 2, m, n)} if d.has_residual else {}
    y = library.run(d, (2, m, n), a=a, b=d.pack(b) if constant else b, bias=d.pack_bias(bias), **residual)
    right = b.swapaxes(-1, -2) if transposed else b
    expected = np.maximum(a.astype(np.float64) @ right + bias + residual.get("residual", 0), 0)
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5)


def pool_reference(d: k.Pool2d, x: Array) -> Array:
    if d.kind == "max":
        return np.max(windows(d, padded(d, x, -np.inf)), 0)
    inside = np.ones((1, d.in_h, d.in_w, 1))
    if d.count_include_pad:
        wide = np.ones((1, d.in_h + d.pad_top + d.pad_bottom, d.in_w + d.pad_left + d.pad_right, 1))
        bottom, right = (padded(d, inside, 0).shape[axis] - wide.shape[axis] for axis in (1, 2))
        counted = np.pad(wide, ((0, 0), (0, max(bottom, 0)), (0, max(right, 0)), (0, 0)))
    else:
        counted = padded(d, inside, 0)
    return np.sum(windows(d, padded(d, x, 0)), 0) / np.maximum(np.sum(windows(d, counted), 0), 1)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("channels", [1, 6, 23, 64])
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_pooling(library: Library, kind: Any, channels: int, count_include_pad: bool) -> None:
    d = k.Pool2d(kind, 2, 9, 11, channels, 5, 6, 3, 4, 2, 2, 1, 1, 1, 1, 0, 2, count_include_pad)
    x = normal(1, 2, 9, 11, channels)
    np.testing.assert_allclose(
        library.run(d, (2, 5, 6, channels), x=x), pool_reference(d, x), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("channels", [1, 6, 23, 64])
@pytest.mark.parametrize("size", [2, 3])
def test_pooling_of_infinities_and_nan(library: Library, kind: Any, channels: int, size: int) -> None:
    pad = size - 2
    d = k.Pool2d(kind, 2, 8, 12, channels, 4, 6, size, size, 2, 2, 1, 1, pad, pad, 0, 0)
    x = special(1, 2, 8, 12, channels)
    x[0, :4, :4] = -np.inf
    x[1, :4, :4] = np.inf
    with np.errstate(invalid="ignore"):
        expected = pool_reference(d, x)
    np.testing.assert_allclose(library.run(d, expected.shape, x=x), expected, rtol=0, atol=1e-6)


def test_dilated_pooling(library: Library) -> None:
    d = k.Pool2d("max", 1, 9, 9, 5, 4, 4, 2, 3, 2, 2, 3, 2, 1, 0)
    x = normal(1, 1, 9, 9, 5)
    np.testing.assert_array_equal(library.run(d, (1, 4, 4, 5), x=x), pool_reference(d, x))


def test_global_average(library: Library) -> None:
    d = k.Pool2d.over_all("average", 2, 7, 7, 50)
    x = normal(1, 2, 7, 7, 50)
    np.testing.assert_allclose(
        library.run(d, (2, 1, 1, 50), x=x), x.mean((1, 2), keepdims=True), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("function", ["exp", "log", "erf", "tanh", "sigmoid", "swish", "hardswish", "gelu"])
def test_function_is_exact_to_a_few_last_places(library: Library, function: Any) -> None:
    x = np.concatenate(
        [np.linspace(-12, 12, 10007), np.logspace(-30, 1.9, 1001), -np.logspace(-30, 1.9, 1001)]
    )
    if function == "log":
        x = np.concatenate([np.abs(x), [1e-40, 3e38]])
    x = x[x != 0] if function == "log" else x
    x32 = x.astype(np.float32)
    y = library.run(k.Unary(function, x32.size), x32.shape, x=x32)
    expected = activate(k.Activation(function), x32.astype(np.float64))
    absolute = 0 if function == "exp" else 4e-7
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=absolute)


@pytest.mark.parametrize(
    ("function", "x", "y"),
    [
        ("exp", [-np.inf, -200, 0, 100, np.inf, np.nan], [0, 0, 1, np.inf, np.inf, np.nan]),
        ("log", [0, -1, 1, np.inf, np.nan], [-np.inf, np.nan, 0, np.inf, np.nan]),
        ("erf", [-np.inf, -9, 0, 9, np.inf, np.nan], [-1, -1, 0, 1, 1, np.nan]),
        ("tanh", [-np.inf, -99, 0, 99, np.inf, np.nan], [-1, -1, 0, 1, 1, np.nan]),
        ("sigmoid", [-np.inf, -200, 0, 200, np.inf, np.nan], [0, 0, 0.5, 1, 1, np.nan]),
        (
            "gelu",
            [-np.inf, -3e38, -1e5, -15, 0, 3e38, np.inf, np.nan],
            [np.nan, 0, 0, 0, 0, 3e38, np.inf, np.nan],
        ),
    ],
)
def test_limits_of_a_function(library: Library, function: Any, x: list[float], y: list[float]) -> None:
    np.testing.assert_array_equal(
        library.run(k.Unary(function, len(x)), (len(x),), x=np.array(x)), np.float32(y)
    )


@pytest.mark.parametrize("columns", [1, 3, 10, 64, 1001])
@pytest.mark.parametrize("log", [False, True])
def test_softmax(library: Library, columns: int, log: bool) -> None:
    x = 30 * normal(1, 7, columns)
    shifted = x.astype(np.float64) - x.max(1, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    y = library.run(k.Softmax(7, columns, log), x.shape, x=x)
    np.testing.assert_allclose(y, expected if log else np.exp(expected), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 6, 64, 197])
def test_layer_normalization(library: Library, columns: int) -> None:
    d = k.LayerNorm(5, columns, 1e-5)
    x, scale, bias = normal(1, 5, columns) + 3, normal(2, columns), normal(3, columns)
    centred = x.astype(np.float64) - x.mean(1, keepdims=True, dtype=np.float64)
    expected = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * scale + bias
    y = library.run(d, x.shape, x=x, scale=d.pack_scale(scale), bias=d.pack_bias(bias))
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hidden", [1, 6, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_step_of_an_lstm(library: Library, batch: int, hidden: int) -> None:
    inputs, product = 3 * normal(1, 5, batch, 4, hidden), normal(2, batch, 4, hidden)
    memory = normal(3, batch, hidden)
    gates = (inputs[2] + product).astype(np.float64).swapaxes(0, 1)
    i, o, f = 1 / (1 + np.exp(-gates[:3]))
    expected = f * memory + i * np.tanh(gates[3])
    states = {"y": memory.shape, "next_memory": memory.shape}
    found = library.run_all(k.Lstm(2, batch, hidden), states, inputs=inputs, product=product, memory=memory)
    np.testing.assert_allclose(found["next_memory"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["y"], o * np.tanh(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("hidden", [1, 6, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_step_of_a_gru(library: Library, batch: int, hidden: int) -> None:
    inputs, product = 3 * normal(1, 5, batch, 3, hidden), normal(2, batch, 3, hidden)
    old, bias = normal(3, batch, hidden), normal(4, 3, hidden)
    seen, recurrence = inputs[2].astype(np.float64), product.astype(np.float64) + bias
    z, r = 1 / (1 + np.exp(-(seen + recurrence)[:, :2].swapaxes(0, 1)))
    expected = (1 - z) * np.tanh(seen[:, 2] + r * recurrence[:, 2]) + z * old
    y = library.run(k.Gru(2, batch, hidden), old.shape, inputs=inputs, product=product, bias=bias, old=old)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("hidden", [1, 6, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_step_of_a_gru_that_resets_before_the_product(library: Library, batch: int, hidden: int) -> None:
    inputs, product = 3 * normal(1, 5, batch, 3, hidden), normal(2, batch, 2, hidden)
    old, candidate = normal(3, batch, hidden), normal(4, batch, hidden)
    seen = inputs[2].astype(np.float64)
    z, r = 1 / (1 + np.exp(-(seen[:, :2] + product).swapaxes(0, 1)))
    arguments = {"inputs": inputs, "product": product, "old": old}
    reset = library.run(k.GruReset(2, batch, hidden), old.shape, **arguments)
    np.testing.assert_allclose(reset, r * old, rtol=0, atol=1e-6)
    y = library.run(k.GruUpdate(2, batch, hidden), old.shape, candidate=candidate, **arguments)
    np.testing.assert_allclose(y, (1 - z) * np.tanh(seen[:, 2] + candidate) + z * old, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 50), (2, 50, 3), (3, 4, 8), (1, 130, 67), (2, 1, 5)])
@pytest.mark.parametrize("inner", [1, 2, 4, 11])
def test_transposition(library: Library, shape: tuple[int, int, int], inner: int) -> None:
    x = normal(1, *shape, inner)
    batch, rows, columns = shape
    y = library.run(k.Transpose(*shape, inner), (batch, columns, rows, inner), x=x)
    np.testing.assert_array_equal(y, x.swapaxes(1, 2))


@pytest.mark.parametrize(
    "build",
    [
        lambda: k.Conv2d(1, 8, 8, 0, 8, 8, 4, 1, 1),
        lambda: k.Conv2d(1, 8, 8, 4, 8, 8, 4, 3, 3, pad_top=-1),
        lambda: k.Conv2d(1, 8, 8, 4, 8, 8, 6, 1, 1, groups=4),
        lambda: k.MatMul(0, 1, 1),
        lambda: k.Conv2d(1, 8, 8, 4, 8, 8, 6, 1, 1).pack(np.zeros((6, 4, 1, 1), np.float32)),
        lambda: k.MatMul(1, 2, 3).pack(np.zeros((3, 2), np.float32)),
    ],
)
def test_impossible_sizes_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument):
        build()
