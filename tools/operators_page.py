"""The page docs/operators.md: what it says of operators, and how many of ONNX's tests of each had which outcome.

It knows nothing of how tests are run.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Result", "page", "summary"]

_OUTCOMES = ("pass", "pass (constant inputs)", "refused", "not static", "wrong", "error")


@dataclass(frozen=True)
class Result:
    """What became of one test."""

    test: str
    operators: list[str]
    outcome: str
    detail: str


def summary(results: Sequence[Result]) -> str:
    """One line: how many tests there were, and how many had each outcome."""
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome]]
    passed = counts["pass"] + counts["pass (constant inputs)"]
    return f"{len(results)} tests, {passed} passed: " + ", ".join(parts)


def page(results: Sequence[Result]) -> str:
    """The page: what is left, by kind; and one row for each operator, how many of its tests had which outcome."""
    parts = [_INTRODUCTION, summary(results), "", *_operators(results), "", _LEFT, *_left(results), ""]
    return "\n".join(parts)


def _operators(results: Sequence[Result]) -> list[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        for operator in result.operators:
            rows[operator][result.outcome] += 1
    shown = [outcome for outcome in _OUTCOMES if any(row[outcome] for row in rows.values())]
    return [
        "| operator | " + " | ".join(shown) + " |",
        "|---|" + "---:|" * len(shown),
        *(
            f"| {operator} | " + " | ".join(str(row[outcome] or "") for outcome in shown) + " |"
            for operator, row in sorted(rows.items())
        ),
    ]


# Where a sentence says what is refused: of a node, of an operator set, or of an input or output, which is kept.
_PLACE = re.compile(r"^(?:node '[^']*' \([^)]*\): |((?:in|out)put) '[^']*':? )")


def _kind(result: Result) -> str:
    """What a sentence refuses, without where in the model, and without what to do."""
    found = _PLACE.match(result.detail)
    what = result.detail[found.end() :] if found else result.detail
    what = what.split(";")[0].split(", which")[0]
    return f"{found[1]}s: {what}" if found and found[1] else what


def _left(results: Sequence[Result]) -> list[str]:
    """A row for each kind of what does not compile: the sentence, the operators, the number of tests."""
    kinds: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if not result.outcome.startswith("pass"):
            kinds[_kind(result)].append(result)
    return [
        "| what is not compiled | in tests of | tests |",
        "|---|---|---:|",
        *(
            f"| {kind} | {', '.join(sorted({name for each in those for name in each.operators}))} | {len(those)} |"
            for kind, those in sorted(kinds.items())
        ),
    ]


_INTRODUCTION = """\
# ONNX operators

ONNX's own operator tests, each compiled to WebAssembly and run in wasmtime. `tools/onnx_coverage.py --table` wrote this
page; no result is wrong, or the program fails. What is not supported is refused when a model is compiled, by operator
and node:

- *pass (constant inputs)*: an input that exporters emit as a constant (axes, shapes, scales ...) has to be one;
- *refused*: mostly inputs and outputs of types that a graph module does not have (strings, floats of 8 bits, integers
  of 4), random numbers, sequences as inputs or outputs;
- *not static*: the shape of the result depends on data.

## NaN, infinities, signed zeros

They are what NumPy and PyTorch give, the same on every engine, at every level, with and without SIMD:

- NaN propagates through everything that computes, compares or selects: `Relu`, `Clip`, `Max`, `Min`, `ReduceMax`,
  `MaxPool`, `Sign`, `ThresholdedRelu`, `Shrink` and the like; also `Max` and `ReduceMax` where onnxruntime drops it.
  NaN differs from everything, and is true as a `bool`.
- `ArgMax`, `ArgMin` and `Hardmax` take NaN for the extreme, `TopK` for the largest number. The index of `MaxPool` is
  that of the last NaN in the window.
- Infinities are IEEE's. A convolution shows one only in the outputs that see it, one among its weights also where they
  meet the zeros of padding. `Clip` without a bound has none; before operator set 11 its bounds are the largest finite
  numbers, as the standard has it.
- Of a float that an integer type cannot hold, `Cast` and `QuantizeLinear` make the nearest number that it can; of NaN
  they make 0, also of constants, while compiling. The ONNX standard leaves this open, and onnxruntime's results depend
  on the CPU: on x86, its `QuantizeLinear` makes the lowest number of NaN.

## Types to store weights in

In `int4`, `uint4`, `int2`, `uint2`, `float8e4m3fn`, `float8e4m3fnuz`, `float8e5m2` and `float8e5m2fnuz` values are
stored, not computed with. Weights of these types compile where they go through `DequantizeLinear` (one scale, one for
each index of an axis, or blocks) or `Cast`; so do `QuantizeLinear` and `Cast` to them where `DequantizeLinear` or
`Cast` follows. Between the two, elements may be moved: `Concat`, `Expand`, `Flatten`, `Gather`, `Identity`, `Pad`,
`Reshape`, `Slice`, `Split`, `Squeeze`, `Transpose`, `Unsqueeze`. In a module such weights take the bytes of float32,
or those of 8-bit integers where their scale is not a constant. Inputs and outputs of these types, and arithmetic in
them, are refused.

Rounding and saturation are the standard's, and onnxruntime's where the standard leaves them open: `Cast` to integers
of less than 8 bits rounds halves away from zero; floats beyond become the nearest number, integers lose their upper
bits. onnxruntime differs in three places: with `saturate` 0, numbers between the largest one and the next power of
two become infinity in `float8e5m2` and NaN in `float8e4m3fn`; -0 is false as a `bool`; a zero point of floats other
than 0 is refused.

## Branches

Of `If` with a condition that is known while compiling, one branch is compiled. Of one that is known at run time
only, both are computed, and the condition selects among their results, which must be of the same types and shapes.
Where they are not, or a branch cannot be compiled, a value for the input that the condition depends on helps, as in
`--constant sr=16000`. Whatever the branch not taken is given, it does no harm: an index outside of a tensor is held
inside it or writes nothing, and an integer divided by 0 is 0, as in NumPy; the lowest integer divided by -1 is
itself. This holds outside of branches, too.

## Resize

Where onnxruntime and torch agree and ONNX's reference implementation does not, Resize follows them:
`align_corners` and `tf_crop_and_resize` divide by the number of output elements less one, also where a scale
would give a fraction of an element; sizes from scales are products in float32, rounded down (0.7 of 10 is 7).
As in onnxruntime, an axis of scale 1 stays as it is, so do all axes when no size changes, and `nearest` before
operator set 11 rounds up where an axis shrinks and down elsewhere. Bytes are interpolated linearly and rounded toward
zero as there; their cubic and antialiased forms are refused. Two of the tests below (`scales` and `align_corners`,
where an axis shrinks) are held against onnxruntime for this.

## Operators of onnxruntime's own

Models that onnxruntime's optimizer (up to `ORT_ENABLE_EXTENDED`) or quantizer wrote compile as they are. Of the domain
`com.microsoft` there are:

- `FusedConv`, `FusedGemm`, `FusedMatMul`, `TransposeMatMul`, `Gelu`, `BiasGelu`, `FastGelu`, `QuickGelu`;
- `SkipLayerNormalization`, `SkipSimplifiedLayerNormalization`, `SimplifiedLayerNormalization`,
  `EmbedLayerNormalization`;
- `Attention`, `MultiHeadAttention`, `GroupQueryAttention`, `QAttention`, `RotaryEmbedding`;
- `QuantizeLinear`, `DequantizeLinear`, `QLinearConv`, `QLinearAdd`, `QLinearMul`, `QLinearWhere`, `QLinearConcat`,
  `QLinearSigmoid`, `QLinearLeakyRelu`, `QLinearSoftmax`, `QLinearAveragePool`, `QLinearGlobalAveragePool`,
  `NhwcMaxPool`, `QGemm`, `MatMulIntegerToFloat`, `DynamicQuantizeMatMul`, `DynamicQuantizeLSTM`, `MatMulNBits`,
  `GatherBlockQuantized`.

Their results are onnxruntime's, those of 8 bits to one step. Sums of products are exact; onnxruntime's overflow on
processors without VNNI when it multiplies uint8 with int8, unless `session.x64quantprecision` is set. `MatMulNBits`
takes constant weights, which become float32 while compiling, and computes in float32 whatever its `accuracy_level`.
`GroupQueryAttention` needs a constant total length. Refused are, by name: packed queries, keys and values in
`MultiHeadAttention`; caches that are written in place; rotary embedding within `Attention`; smooth softmax; means and
deviations as outputs of `SkipLayerNormalization`; layouts for one processor (`com.microsoft.nchwc`), which
`ORT_ENABLE_ALL` writes; and all operators of the domain that are not in this list.

## Tests
"""

_LEFT = """\
## What is left

Each kind of test that does not pass, with the beginning of the sentence that refuses it:
"""
