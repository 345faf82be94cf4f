"""Every number of the types of 2, 4 and 8 bits, read and rounded as onnxruntime reads and rounds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from .stored_types import (
    FLOATS,
    INTEGERS,
    Array,
    Part,
    all_numbers,
    assert_same,
    compare,
    dtype,
    elem_type,
    expected,
    forms,
    model_of,
    node,
    results,
    side_by_side,
)

# -- from them --------------------------------------------------------------------------------------------------------


def _scales(*shape: int) -> Array:
    return (np.random.default_rng(sum(shape)).random(shape) + 0.1).astype(np.float32)


def _dequantized(kind: str) -> Part:
    weights = all_numbers(kind).reshape(8, -1)
    columns = weights.shape[1]
    constants: dict[str, Any] = {
        "w": weights, "one": np.float32(0.37), "half": np.float16(0.3), "axis": _scales(columns),
        "rows": _scales(3, columns), "cells": _scales(8, -(-columns // 4)), "zero": np.zeros((), weights.dtype),
    }  # fmt: skip
    nodes = [
        node("DequantizeLinear", "w one", "y_one"),
        node("DequantizeLinear", "w one zero", "y_zero"),
        node("DequantizeLinear", "w half", "y_half"),
        node("DequantizeLinear", "w axis", "y_axis", axis=1),
        node("DequantizeLinear", "w rows", "y_rows", axis=0, block_size=3),
        node("DequantizeLinear", "w cells", "y_cells", axis=-1, block_size=4),
        node("DequantizeLinear", "w scale", "y_computed"),
        node("DequantizeLinear", "w one", "y_narrow", output_dtype=TensorProto.FLOAT16),
    ]
    if kind in INTEGERS:
        zeros = np.resize(all_numbers(kind), (3, columns))
        constants |= {"zero_rows": zeros, "zero_axis": zeros[0], "seven": zeros[0, 1]}
        nodes += [
            node("DequantizeLinear", "w one seven", "y_seven"),
            node("DequantizeLinear", "w axis zero_axis", "y_zero_axis", axis=1),
            node("DequantizeLinear", "w rows zero_rows", "y_zero_rows", axis=0, block_size=3),
            node("DequantizeLinear", "w scale seven", "y_computed_seven"),
        ]
    return nodes, constants


@forms
@pytest.mark.parametrize("kinds", [INTEGERS, FLOATS], ids=["integers", "floats"])
def test_every_number_is_dequantized_as_in_onnxruntime(kinds: Sequence[str], form: str) -> None:
    scale = {"scale": np.array(0.7, np.float32)}
    compare(*side_by_side({kind: _dequantized(kind) for kind in kinds}, scale), form)


@forms
def test_every_number_is_cast_from_as_in_onnxruntime(form: str) -> None:
    parts: dict[str, Part] = {"x": ([node("Add", "x x", "y")], {})}
    for kind in (*INTEGERS, *FLOATS):
        targets = (
            ["FLOAT", "FLOAT16", "DOUBLE"] if kind in FLOATS else ["FLOAT", "INT8", "UINT8", "INT64", "BOOL"]
        )
        parts[kind] = [node("Cast", "w", f"y_{to}", to=to) for to in targets], {"w": all_numbers(kind)}
    compare(*side_by_side(parts, {"x": np.zeros(1, np.float32)}), form)


def test_a_stored_float_is_true_unless_it_is_zero() -> None:  # onnxruntime takes -0 for true
    parts = {kind: ([node("Cast", "w", "y", to="BOOL")], {"w": all_numbers(kind)}) for kind in FLOATS}
    model = model_of(*side_by_side(parts, {}))
    for kind, truth in zip(FLOATS, results(model, {}), strict=True):
        np.testing.assert_array_equal(truth, all_numbers(kind).astype(np.float32) != 0)


# -- to floats of 8 bits ----------------------------------------------------------------------------------------------


def _numbers_and_middles() -> Array:
    """Every number of float16; every number of the floats of 8 bits and every middle of two, with its neighbours."""
    found = [np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)]
    for kind in FLOATS:
        own = np.unique(all_numbers(kind).astype(np.float32))
        own = own[np.isfinite(own)]
        beyond = own.max() * np.array([1.0625, 1.125], np.float32)
        edges = np.concatenate([own, (own[1:] + own[:-1]) / 2, beyond])
        found += [edges, *(np.nextafter(edges, np.float32(way)) for way in (np.inf, -np.inf))]
    return np.concatenate([*found, np.array([3e38, -3e38, 1e-45, -1e-45], np.float32)])


NUMBERS = _numbers_and_middles()


def _rounded(kind: str, saturate: int) -> Part:
    to, zero = elem_type(kind), np.zeros((), dtype(kind))
    nodes = [
        node("Cast", "x", "a", to=to, saturate=saturate),
        node("Cast", "a", "y_cast", to="FLOAT"),
        node("CastLike", "x like", "b", saturate=saturate),
        node("Cast", "b", "y_like", to="FLOAT16"),
        node("QuantizeLinear", "x scale", "c", output_dtype=to, saturate=saturate),
        node("DequantizeLinear", "c scale", "y_quantized"),
        node("QuantizeLinear", "x scale zero", "d", saturate=saturate),
        node("DequantizeLinear", "d scale", "y_by_zero"),
        node("Cast", "constant", "e", to=to, saturate=saturate),
        node("Cast", "e", "y_constant", to="FLOAT"),
    ]
    scale = np.float32(0.37 if saturate else 1)
    return nodes, {"scale": scale, "like": zero, "zero": zero, "constant": NUMBERS}


@forms
@pytest.mark.parametrize("saturate", [1, 0])
def test_floats_are_rounded_to_8_bits_as_in_onnxruntime(saturate: int, form: str) -> None:
    parts = {kind: _rounded(kind, saturate) for kind in FLOATS}
    model = model_of(*side_by_side(parts, {"x": NUMBERS}))
    names = [info.name for info in model.graph.output]
    wanted = expected(model, {"x": NUMBERS})
    for name, values in zip(names, wanted, strict=True):
        kind = name.split("_")[-1]
        if not saturate and "FNUZ" not in kind:
            # Between the largest number and the next power of two, onnxruntime's carry into the exponent makes NaN of
            # what is to become infinity, and the largest number of what is to become NaN.
            carried = (np.abs(NUMBERS) > FLOATS[kind]) & (np.abs(NUMBERS) < 1.2 * FLOATS[kind])
            with np.errstate(all="ignore"):
                values[carried] = NUMBERS[carried].astype(dtype(kind)).astype(np.float32)
    assert_same(results(model, {"x": NUMBERS}, form), wanted, names)


def _of_type(source: str) -> Array:
    """Numbers of a type, some of which floats of 8 bits do not have."""
    if source.startswith("float"):
        more = [1.0625 + 2**-40, 1.1875 - 2**-40] if source == "float64" else []
        return np.concatenate(
            [all_numbers("FLOAT8E5M2").astype(source), np.array([500, 1.0625, *more], source)]
        )
    return np.array([*range(-300, 300), (1 << 24) + 1, (1 << 40) + 1]).astype(source)


SOURCES = ("float16", "float64", "int8", "uint8", "int32", "int64", "uint64", "bool")


@forms
def test_other_types_are_rounded_to_8_bits_as_in_onnxruntime(form: str) -> None:
    feeds = {f"x_{source}": _of_type(source) for source in SOURCES}
    parts: dict[str, Part] = {}
    for kind in FLOATS:
        nodes = []
        for source in SOURCES:
            for letter in "xc":
                nodes.append(node("Cast", f"{letter}_{source}", f"a_{letter}_{source}", to=kind))
                nodes.append(node("Cast", f"a_{letter}_{source}", f"y_{letter}_{source}", to="FLOAT"))
        parts[kind] = nodes, {f"c_{source}": feeds[f"x_{source}"] for source in SOURCES}
    compare(*side_by_side(parts, feeds), form)


# -- to integers of few bits ------------------------------------------------------------------------------------------


def _quantized(kind: str) -> Part:
    constants: dict[str, Any] = {"scale": np.float32(0.37)}
    nodes = []
    for zero in sorted({0, 1, *INTEGERS[kind]}):
        constants[f"z{zero}"] = np.array(zero, np.int8).astype(dtype(kind))
        nodes.append(node("QuantizeLinear", f"x scale z{zero}", f"a{zero}"))
        nodes.append(node("DequantizeLinear", f"a{zero} scale z{zero}", f"y{zero}"))
    zeros = np.resize(all_numbers(kind), (5, 2))
    constants |= {
        "blocks": _scales(5, 2),
        "zeros": zeros,
        "axis": _scales(6),
        "zero_axis": np.resize(zeros, 6),
    }
    nodes += [
        node("QuantizeLinear", "x scale", "b", output_dtype=elem_type(kind)),
        node("DequantizeLinear", "b scale", "y_plain"),
        node("QuantizeLinear", "rows blocks zeros", "c", axis=1, block_size=3),
        node("DequantizeLinear", "c blocks zeros", "y_blocks", axis=1, block_size=3),
        node("QuantizeLinear", "rows axis zero_axis", "d", axis=-1),
        node("DequantizeLinear", "d axis zero_axis", "y_axis", axis=-1),
    ]
    return nodes, constants


@forms
def test_numbers_are_quantized_to_few_bits_as_in_onnxruntime(form: str) -> None:
    numbers = NUMBERS[~np.isnan(NUMBERS)]  # of which onnxruntime makes the lowest number on x86, and we 0
    rows = np.random.default_rng(3).standard_normal((5, 6)).astype(np.float32) * 3
    parts = {kind: _quantized(kind) for kind in INTEGERS}
    compare(*side_by_side(parts, {"x": numbers, "rows": rows}), form)


def _within(kind: str, source: str) -> Array:
    """Numbers that become some of the type: of floats beyond it, onnxruntime takes the lowest bits."""
    if not source.startswith("float"):
        return np.arange(-300, 300).astype(source)
    low, high = INTEGERS[kind]
    steps = np.arange(low * 256 - 125, high * 256 + 126) / 256
    x = np.concatenate([steps, np.nextafter(np.float32(steps), 0), [-0.0]]).astype(source)
    return np.concatenate([x, [0.49999999999, -0.49999999999]]) if source == "float64" else x


@forms
def test_numbers_are_cast_to_few_bits_as_in_onnxruntime(form: str) -> None:
    feeds: dict[str, Array] = {}
    parts: dict[str, Part] = {}
    for kind in INTEGERS:
        nodes, constants = [], {}
        for source in ("float32", *SOURCES):
            x, c = f"x_{kind}_{source}", f"c_{source}"
            feeds[x] = constants[c] = _within(kind, source)
            for name in (x, c):
                nodes += [
                    node("Cast", name, f"a_{name}", to=kind),
                    node("Cast", f"a_{name}", f"y_{name}", to="FLOAT"),
                ]
        parts[kind] = nodes, constants
    compare(*side_by_side(parts, feeds), form)


@forms
def test_a_float_beyond_few_bits_becomes_the_nearest_number(form: str) -> None:
    beyond = [0.5, 1, 300.7, 1e9, np.inf]
    parts: dict[str, Part] = {}
    for kind, (low, high) in INTEGERS.items():
        x = np.array(
            [*(high + more for more in beyond), *(low - more for more in beyond), np.nan], np.float32
        )
        nodes = [
            node("Cast", "c", "a", to=kind),
            node("Cast", "a", "y_constant", to="FLOAT"),
            node("Mul", "c x", "computed"),
            node("Cast", "computed", "b", to=kind),
            node("Cast", "b", "y_cast", to="FLOAT"),
            node("QuantizeLinear", "computed x", "d", output_dtype=elem_type(kind)),
            node("DequantizeLinear", "d x", "y_quantized"),
        ]
        parts[kind] = nodes, {"c": x}
    feeds = {"x": np.array(1, np.float32)}
    model = model_of(*side_by_side(parts, feeds))
    for info, result in zip(model.graph.output, results(model, feeds, form), strict=True):
        low, high = INTEGERS[info.name.split("_")[-1]]
        # High and a half becomes the even one of two neighbours, of which only the lower is there: the same number.
        np.testing.assert_array_equal(result, [high] * 5 + [low] * 5 + [0], err_msg=info.name)


# -- quantization of narrow floats ------------------------------------------------------------------------------------


@forms
def test_the_division_by_a_scale_is_of_its_type_or_of_the_one_that_is_named(form: str) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    feeds = {"x16": halves, "x32": halves.astype(np.float32)}
    parts: dict[str, Part] = {}
    for kind in ("INT8", "UINT16", "INT4", "FLOAT8E4M3FN", "FLOAT8E5M2FNUZ"):
        nodes, constants = (
            [],
            {"s16": np.float16(0.37), "s32": np.float32(0.37), "c16": halves, "c32": feeds["x32"]},
        )
        for x, s, precision in product(
            ("x16", "x32", "c16", "c32"), ("s16", "s32"), ("", "FLOAT", "FLOAT16")
        ):
            options = {"precision": elem_type(precision)} if precision else {}
            name = f"{x}{s}{precision}"
            nodes.append(
                node("QuantizeLinear", f"{x} {s}", f"q_{name}", output_dtype=elem_type(kind), **options)
            )
            nodes.append(node("DequantizeLinear", f"q_{name} s32", f"y_{name}"))
        parts[kind] = nodes, constants
    compare(*side_by_side(parts, feeds), form)


# -- from one to another ----------------------------------------------------------------------------------------------


def _as_another(kind: str, other: str) -> Array:
    """Every number of a type in another, as NumPy and the standard's table of floats have it."""
    numbers = all_numbers(kind)
    own = numbers.astype(np.float32)
    if kind == other:
        return own
    if other in FLOATS:
        with np.errstate(all="ignore"):
            rounded = own.astype(dtype(other)).astype(np.float32)
        beyond = ~np.isfinite(rounded) & ~np.isnan(own)
        return np.where(beyond, np.copysign(np.float32(FLOATS[other]), own), rounded)
    low, high = INTEGERS[other]
    if kind in INTEGERS:
        return ((numbers.astype(np.int32) - low) % (high - low + 1) + low).astype(np.float32)
    nearest = np.copysign(np.floor(np.abs(own) + np.float32(0.5)), own)
    return np.clip(np.nan_to_num(nearest), low, high) + np.float32(0)


@pytest.mark.parametrize("kind", [*INTEGERS, *FLOATS])
def test_one_becomes_another(kind: str) -> None:
    parts: dict[str, Part] = {}
    for other in (*INTEGERS, *FLOATS):
        nodes = [
            node("Cast", "w", "a", to=other),
            node("Cast", "a", "y_constant", to="FLOAT"),
            node("Cast", "x", "b", to=kind, saturate=0),
            node("Cast", "b", "c", to=other),
            node("Cast", "c", "y_computed", to="FLOAT"),
        ]
        parts[other] = nodes, {"w": all_numbers(kind)}
    feeds = {"x": all_numbers(kind).astype(np.float32)}
    model = model_of(*side_by_side(parts, feeds))
    names = [info.name for info in model.graph.output]
    assert_same(results(model, feeds), [_as_another(kind, name.split("_")[-1]) for name in names], names)
