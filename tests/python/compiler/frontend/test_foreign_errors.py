"""What TVM and ONNX cannot do is told in one sentence of ours: which node, and of what; theirs is its cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import onnx
import pytest
from onnx import TensorProto, helper
from wasmgrad import Unsupported
from wasmgrad.compiler import CompileOptions, compile_model
from wasmgrad.compiler.backend.codegen import build_object
from wasmgrad.compiler.passes import legalize


def _model(nodes: list[onnx.NodeProto], **shapes: list[int]) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "foreign", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _boom(_builder: Any, _call: Any) -> NoReturn:
    raise ValueError("insides of a tool")


def _refusal(model: onnx.ModelProto, level: int = 3) -> Unsupported:
    with pytest.raises(Unsupported) as caught:
        compile_model(model, CompileOptions(opt_level=level))
    return caught.value


def test_an_error_while_importing_names_node_and_operands(capfd: pytest.CaptureFixture[str]) -> None:
    model = _model([helper.make_node("Add", ["x", "y"], ["z"], name="sum")], x=[2], y=[3])
    error = _refusal(model)
    assert str(error) == "node 'sum' (Add, opset 20): it cannot be compiled for float32[2], float32[3]"
    assert error.__cause__ is not None
    assert "Warning" not in capfd.readouterr().err


def test_an_error_while_generating_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(legalize.LEGALIZATIONS, "relax.tan", _boom)
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Tan", ["a"], ["y"], name="second"),
    ]
    error = _refusal(_model(nodes, x=[2, 5]))
    assert str(error) == "node 'second' (Tan): its result float32[2, 5] cannot be computed"
    assert "insides" in str(error.__cause__)


def _llvm_refuses(monkeypatch: pytest.MonkeyPatch, word: str, *modules: str) -> None:
    """Where these modules generate code, that of kernels with this word in their names fails as LLVM does."""

    def build(functions: Mapping[Any, Any], *rest: Any, **options: Any) -> Any:
        if any(word in variable.name_hint for variable in functions):
            raise RuntimeError("LLVM module verification failed:\n" + "  %1 = fcmp\n" * 300)
        return build_object(functions, *rest, **options)

    for module in modules:
        monkeypatch.setattr(f"wasmgrad.compiler.{module}.build_object", build)


def test_an_error_of_llvm_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    _llvm_refuses(monkeypatch, "tan", "_compile", "_blame")
    nodes = [
        helper.make_node("Neg", ["x"], ["a"], name="first"),
        helper.make_node("Tan", ["a"], ["y"], name="second"),
    ]
    error = _refusal(_model(nodes, x=[2, 5]))
    assert str(error) == "node 'second' (Tan): its result float32[2, 5] cannot be computed"


@pytest.mark.parametrize(
    ("level", "advice"),
    [(3, "each operator alone can, so opt_level 0 may help"), (0, "each operator alone can")],
)
def test_an_error_of_the_whole_says_what_to_do(
    level: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _llvm_refuses(monkeypatch, "tan", "_compile")
    error = _refusal(_model([helper.make_node("Tan", ["x"], ["y"])], x=[2, 5]), level)
    assert str(error) == (
        f"this model cannot be compiled (stage 'generate'): {advice}; "
        "WASMGRAD_DEBUG=1 shows what the compiler said"
    )
    assert "fcmp" in str(error.__cause__)


def test_the_tools_own_words_are_shown_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(legalize.LEGALIZATIONS, "relax.tan", _boom)
    monkeypatch.setenv("WASMGRAD_DEBUG", "1")
    assert "ValueError: insides of a tool" in str(
        _refusal(_model([helper.make_node("Tan", ["x"], ["y"])], x=[3]))
    )
