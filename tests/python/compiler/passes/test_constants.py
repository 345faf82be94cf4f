"""What depends on constants only is computed while compiling, as NumPy computes it; the rest stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from numpy.typing import NDArray
from tvm import relax
from wasmgrad.compiler.passes.bindings import Bindings, constant
from wasmgrad.compiler.passes.constants import evaluate_constants, fold_constants

Array = NDArray[Any]
X = np.arange(-12, 12, dtype=np.float32).reshape(4, 6) / 7
OP = relax.op


def _main(build: Callable[[Any, Any], Any]) -> Any:
    """A module that returns what `build` makes of a block builder and the parameter x."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(X.shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(build(builder, x))
        builder.emit_func_output(result)
    return builder.get()


def _folded(module: Any) -> Bindings:
    with tvm.target.Target("llvm"):
        module = fold_constants(evaluate_constants(module))
    return Bindings(relax.transform.DeadCodeElimination(["main"])(module)["main"])


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda c: OP.add(c, c), X + X),
        (lambda c: OP.subtract(c, relax.const(1.5, "float32")), X - np.float32(1.5)),
        (lambda c: OP.multiply(c, c), X * X),
        (lambda c: OP.divide(c, relax.const(3, "float32")), X / np.float32(3)),
        (lambda c: OP.strided_slice(c, [1, 0], [1, 2], [9, 3], [2, 1]), X[2:3, 1:9:2]),
        (lambda c: OP.strided_slice(c, [1], [-2], [6]), X[:, -2:]),
        (OP.permute_dims, X.T),
        (OP.exp, np.exp(X)),
    ],
)
def test_an_operator_on_constants_becomes_its_result(build: Callable[[Any], Any], wanted: Array) -> None:
    def with_input(builder: Any, x: Any) -> Any:
        return OP.matmul(
            OP.reshape(x, (1, 24, 1)), OP.reshape(builder.emit(build(relax.const(X))), (-1, 1, 1))
        )

    bindings = _folded(_main(with_input))
    result = constant(bindings.value(len(bindings) - 1).args[1])
    assert result is not None
    np.testing.assert_allclose(result.reshape(wanted.shape), wanted, rtol=1e-6)


def test_what_depends_on_an_input_or_on_nan_stays() -> None:
    def build(builder: Any, x: Any) -> Any:
        nan = builder.emit(OP.maximum(relax.const(np.full((4, 6), np.nan, np.float32)), relax.const(X)))
        two = builder.emit(OP.exp(relax.const(np.zeros((4, 6), np.float32))))
        return OP.add(builder.emit(OP.add(x, two)), nan)

    bindings = _folded(_main(build))
    assert [bindings.operator(i) for i in range(len(bindings))] == ["relax.maximum", "relax.add", "relax.add"]
    np.testing.assert_array_equal(constant(bindings.value(1).args[1]), np.ones((4, 6), np.float32))


def test_only_what_depends_on_constants_is_shown_to_tvm(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def fold(module: Any) -> Any:
        bindings = Bindings(module["main"])
        seen.extend(bindings.operator(i) for i in range(len(bindings)))
        return module

    monkeypatch.setattr(relax.transform, "FoldConstant", lambda: fold)
    fold_constants(_main(lambda builder, x: OP.add(OP.exp(x), builder.emit(OP.exp(relax.const(X))))))
    assert seen == ["relax.exp"]
