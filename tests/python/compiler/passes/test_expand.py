"""Weights in the forms in which they are stored: every one gives back the bits of the floats that it was made of."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from wasmgrad.compiler.passes import kernels as k
from wasmgrad.compiler.passes.kernels.gemm import pack_columns

from . import kernel_library
from .kernel_library import VARIANTS, Array, Library

G2 = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
G4 = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


@pytest.fixture(scope="module", params=VARIANTS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return kernel_library.library(request.param, ["expand"], tmp_path_factory.mktemp("kernels"))


def floats(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(
    seed: int, shape: tuple[int, int, int], block: int, limits: tuple[int, int], shifted: bool
) -> Array:
    """What DequantizeLinear makes of integers with a scale, and a zero point, for each column of each block."""
    rng = np.random.default_rng(seed)
    panels, depth, width = shape
    blocks = -(-depth // block)
    low, high = limits
    scales = rng.uniform(1e-3, 1, (panels, blocks, 1, width)).astype(np.float32)
    steps = rng.integers(low, high + 1, (panels, blocks, block, width))
    if shifted:
        steps -= rng.integers(low, high + 1, (panels, blocks, 1, width))
    values = steps.astype(np.float32) * scales
    return np.ascontiguousarray(values.reshape(panels, -1, width)[:, :depth])


def rounded(seed: int, shape: tuple[int, int, int], dtype: object) -> Array:
    """Floats of fewer bits, infinities and the smallest among them."""
    values = floats(seed, *shape) * np.random.default_rng(seed).choice(
        np.float32([1e-7, 1e-3, 1, 1e4]), shape
    )
    values.reshape(-1)[:5] = np.inf, -np.inf, 0.0, -0.0, 2.0**-24
    return values.astype(np.dtype(dtype)).astype(np.float32)  # type: ignore[arg-type]


SHAPES = [(3, 40, 8), (1, 1500, 1), (5, 300, 1), (7, 33, 2), (1, 9, 97), (2, 77, 3)]
FORMS = {
    "float16": lambda shape: rounded(1, shape, np.float16),
    "bfloat16": lambda shape: rounded(2, shape, ml_dtypes.bfloat16),
    "int8": lambda shape: integers(3, shape, shape[1], (-127, 127), False),
    "int8 shifted": lambda shape: integers(4, shape, shape[1], (0, 255), True),
    "int8 in blocks": lambda shape: integers(5, shape, 32, (-128, 127), False),
    "int4": lambda shape: integers(6, shape, 32, (-8, 7), False),
    "int4 shifted": lambda shape: integers(7, shape, 16, (0, 15), True),
}


@pytest.mark.parametrize("with_factors", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_values_of_few_bits_are_stored_so_and_come_back(
    library: Library, form: str, shape: tuple[int, int, int], with_factors: bool
) -> None:
    values = FORMS[form](shape)
    factors = np.abs(floats(8, shape[0], shape[2])) + np.float32(0.5) if with_factors else None
    stored = k.store(values, factors, "as stored", library.lanes)
    assert stored is not None
    assert stored.kernel.form == form.split(maxsplit=1)[0]
    wanted = values if factors is None else values * factors[:, None]
    assert stored.bytes() < wanted.nbytes
    assert_same_bits(library.expand(stored), wanted)


def assert_same_bits(found: Array, wanted: Array) -> None:
    np.testing.assert_array_equal(
        found.view(np.int32), np.ascontiguousarray(wanted).reshape(-1).view(np.int32)
    )


@pytest.mark.parametrize(
    "values",
    [
        floats(1, 2, 600, 8),
        rounded(2, (4, 300, 8), np.float32),
        np.full((1, 2048, 1), np.nan, np.float32),
        np.where(
            np.arange(2048) % 2,
            np.float32(-0.0),
            integers(3, (1, 2048, 1), 2048, (-127, 127), False)[0, :, 0],
        )[None, :, None],
        np.nextafter(integers(4, (1, 2048, 1), 2048, (-127, 127), False), np.float32(np.inf)),
    ],
    ids=["normal", "special", "nan", "minus zero", "one bit off"],
)
def test_values_that_no_form_gives_back_stay(values: Array) -> None:
    stored = k.store(values, None, "as stored", 4)
    assert stored is None or stored.kernel.form not in ("int8", "int4", "float16")


def test_few_values_are_not_worth_a_form() -> None:
    assert k.store(np.zeros((1, 8, 1), np.float32), None, "as stored", 4) is None


@pytest.mark.parametrize("size", [(40, 64), (41, 33), (100, 7), (3, 500)])
@pytest.mark.parametrize("form", ["float32", "float16", "int8"])
@pytest.mark.parametrize("with_factors", [False, True])
def test_columns_are_made_of_rows(
    library: Library, size: tuple[int, int], form: str, with_factors: bool
) -> None:
    rows = FORMS[form]((*size, 1)) if form in FORMS else floats(1, *size, 1)
    factors = np.abs(floats(2, size[0], 1)) + np.float32(0.5) if with_factors else None
    stored = k.store(rows, factors, "rows to columns", library.lanes)
    assert stored is not None
    wide = rows[..., 0] if factors is None else rows[..., 0] * factors
    assert_same_bits(library.expand(stored), pack_columns(wide.T, library.lanes))


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("channels", [(4, 8), (16, 24), (20, 36)])
@pytest.mark.parametrize("form", ["float32", "float16", "int8"])
def test_points_of_winograd_are_those_of_float64(
    library: Library, form: str, channels: tuple[int, int], tile: int
) -> None:
    in_c, out_c = channels
    flat = (1, 9 * in_c, out_c)
    weights = FORMS[form](flat) if form == "int8" else floats(1, *flat)
    weights = weights.astype(np.float16).astype(np.float32) if form == "float16" else weights
    weights = weights.reshape(9 * in_c, out_c).T.reshape(out_c, 3, 3, in_c)
    packed = pack_columns(weights.reshape(out_c, -1).T, library.lanes)
    stored = k.store(packed, None, "winograd 2" if tile == 2 else "winograd 4", library.lanes)
    assert stored is not None
    matrix = G2 if tile == 2 else G4
    points = np.einsum("ak,oklc,bl->abco", matrix, weights.astype(np.float64), matrix)
    wanted = pack_columns(points.reshape(-1, in_c, out_c), library.lanes).reshape(-1)
    tolerance = 2.0**-23 * np.abs(wanted) + 1e-15  # a halfway case may be rounded either way
    assert np.all(np.abs(library.expand(stored) - wanted) <= tolerance)
