"""Kernels that may work in place, and those that may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tvm_ffi
from tvm import te, tirx, topi
from wasmgrad.compiler.backend.in_place import in_place

N = 6


def _function(compute: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    """A kernel with inputs of these shapes, and one output."""
    inputs = [te.placeholder(shape, "float32", f"x{i}") for i, shape in enumerate(shapes)]
    return te.create_prim_func([*inputs, compute(*inputs)])


SAFE = {
    "element-wise": _function(
        lambda x, y: te.compute((N, N), lambda i, j: x[i, j] + y[j, i]), (N, N), (N, N)
    ),
    "twice the same place": _function(
        lambda x, y: te.compute((N,), lambda i: x[i] * x[i] + y[0]), (N,), (N,)
    ),
    "a sum before": _function(lambda x, y: topi.add(topi.sum(x, axis=1, keepdims=True), x), (N, N), (N,)),
    "softmax": _function(lambda x, y: topi.nn.softmax(x, axis=1), (N, N), (N,)),
}
UNSAFE = {
    "the next element": _function(lambda x, y: te.compute((N,), lambda i: x[(i + 1) % N]), (N,), (N,)),
    "two elements": _function(lambda x, y: te.compute((N,), lambda i: x[i] + x[0]), (N,), (N,)),
    "transposed": _function(lambda x, y: te.compute((N, N), lambda i, j: x[j, i]), (N, N), (N,)),
    "another shape": _function(lambda x, y: te.compute((N * N,), lambda i: x[i // N, i % N]), (N, N), (N,)),
    "a product": _function(topi.matmul, (N, N), (N, N)),
    "a running sum": _function(lambda x, y: topi.cumsum(x, axis=0), (N,), (N,)),
}


def _reads(function: Any) -> int:
    return len(function.params) - 1


@pytest.mark.parametrize("name", SAFE)
def test_each_place_is_read_before_it_is_written(name: str) -> None:
    function = SAFE[name]
    made = in_place(function, [0], _reads(function))
    assert made is not None
    assert len(made.params) == len(function.params) - 1
    assert str(made.script()).count(f"{function.params[0].name}[") == 0


@pytest.mark.parametrize("name", UNSAFE)
def test_a_place_that_is_read_later_is_not_written_before(name: str) -> None:
    function = UNSAFE[name]
    assert in_place(function, [0], _reads(function)) is None


def test_what_is_copied_to_its_own_place_is_left_out() -> None:
    function = _function(lambda x, y: te.compute((N,), lambda i: x[i]), (N,), (N,))
    made = in_place(function, [0], 2)
    stores: list[Any] = []
    tvm_ffi.structural_visit(made.body, [(tirx.BufferStore, lambda node, visitor: stores.append(node))])
    assert stores == []


def test_two_arguments_may_be_in_one_buffer() -> None:
    function = _function(lambda x, y: te.compute((N,), lambda i: x[i] - y[i]), (N,), (N,))
    made = in_place(function, [0, 1], 2)
    assert made is not None and len(made.params) == 1


def test_a_kernel_stays_as_it_was() -> None:
    function = SAFE["element-wise"]
    before = function.script()
    in_place(function, [0], 2)
    assert function.script() == before
