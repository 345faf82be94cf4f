"""Finds the node of a model for which code generation failed: TVM does not tell.

It compiles every operator alone. That takes as long as the whole did, and is done after a failure only.
"""

from __future__ import annotations

from typing import Any

import onnx
from tvm import relax

from ._foreign import described
from .backend.codegen import build_object
from .backend.layout import lay_out
from .backend.plan import Program, extract
from .frontend.importer import Imported
from .passes.bindings import Bindings
from .passes.kernels import EXPAND
from .passes.optimize import optimize

__all__ = ["blamed"]


def blamed(imported: Imported, model: onnx.ModelProto, target: Any) -> str | None:
    """A sentence that names the first node that cannot be compiled; None when each alone can be."""
    bindings = Bindings(imported.module["main"])
    for binding in bindings.bindings:
        if isinstance(binding.var.ty, relax.TensorType) and not _compiles(binding, imported.module, target):
            shape = [int(extent) for extent in binding.var.ty.shape]
            what = f"its result {described(str(binding.var.ty.dtype), shape)} cannot be computed"
            return f"{_node(binding.var.name, model)}: {what}"
    return None


def _compiles(binding: Any, module: Any, target: Any) -> bool:
    parameters = list(relax.analysis.free_vars(binding.value))
    body = relax.SeqExpr([relax.DataflowBlock([_visible(binding)])], relax.Tuple([binding.var]))
    alone = module.clone()
    try:
        alone.update_func(
            alone.get_global_var("main"), relax.Function(parameters, body, relax.TupleType([binding.var.ty]))
        )
        lowered, _ = optimize(alone, target, 0, 1)
        program = Program()
        called = {call.kernel for call in extract(lowered, EXPAND, program).calls}
        functions = {key: value for key, value in lowered.functions.items() if key.name_hint in called}
        build_object(functions, program, lay_out(program), target)
    except Exception:  # whatever it is, the caller has the error of the whole
        return False
    return True


def _visible(binding: Any) -> Any:
    return relax.VarBinding(binding.var, binding.value)


def _node(name: str, model: onnx.ModelProto) -> str:
    """The node that a variable was made for: its name is that of the node or of its first output."""
    for node in model.graph.node:
        if name in (node.name, *node.output):
            return f"node {name!r} ({node.op_type})"
    return f"node {name!r}"
