"""What is computed over one spatial axis as what is computed over pictures of one row.

The layout pass and our kernels know pictures. A tensor [n, c, length] goes on as [n, c, 1, length] through all that
works element by element, so that a chain of convolutions changes its form at its ends only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax

from .._relax import literal
from .bindings import Bindings, constant, is_float32, shape, typed, with_bindings

__all__ = ["one_axis_as_pictures"]

_ROW = 2  # the axis that pictures have and these tensors do not


def one_axis_as_pictures(module: Any) -> Any:
    """Convolutions, pools and means over one axis, and what lies between them, over pictures of one row."""
    rewriter = _Rewriter(Bindings(module["main"]))
    return relax.transform.DeadCodeElimination(["main"])(with_bindings(module, rewriter.run()))


class _Rewriter:
    """One walk over the bindings of a function."""

    def __init__(self, bindings: Bindings) -> None:
        self.bindings = bindings
        self.rewritten: list[Any] = []
        self.pictures: dict[Any, Any] = {}
        """The picture that holds what a variable holds."""

    def run(self) -> list[Any]:
        """The new bindings: each variable is still bound, to a picture without its row."""
        for position, binding in enumerate(self.bindings.bindings):
            make = _REWRITES.get(self.bindings.operator(position) or "")
            picture = None
            if make is not None and self._computes(position):
                picture = make(self, binding.value)
            if picture is None:
                self.rewritten.append(binding)
                continue
            whole = self.bind(picture, f"{binding.var.name}_picture")
            if len(shape(binding.var)) == 3 and shape(whole)[_ROW] == 1:
                self.pictures[binding.var] = whole
            plain = relax.op.reshape(whole, shape(binding.var))
            self.rewritten.append(relax.VarBinding(binding.var, typed(plain)))
        return self.rewritten

    def _computes(self, position: int) -> bool:
        """Whether our kernels know the types of a binding."""
        tensors = (self.bindings.variable(position), *_tensors(self.bindings.value(position)))
        if self.bindings.operator(position) in _OF_BYTES:
            return all(str(each.ty.dtype) in ("float32", "int32", "int8", "uint8") for each in tensors)
        return all(map(is_float32, tensors))

    def bind(self, call: Any, name: str) -> Any:
        """A new variable for what a call computes."""
        call = typed(call)
        variable = relax.DataflowVar(name, call.ty)
        self.rewritten.append(relax.VarBinding(variable, call))
        return variable

    def picture(self, tensor: Any) -> Any:
        """[n, c, 1, length] of [n, c, length]."""
        array = constant(tensor)
        if array is not None:
            return literal(array.reshape(*array.shape[:_ROW], 1, *array.shape[_ROW:]))
        if tensor not in self.pictures:
            self.pictures[tensor] = self.bind(relax.op.expand_dims(tensor, _ROW), "picture")
        return self.pictures[tensor]


def _tensors(call: Any) -> list[Any]:
    return [each for each in call.args if isinstance(each.ty, relax.TensorType)]


def _numbers(values: Any) -> list[int]:
    return [int(value) for value in values]


def _convolution(rewriter: _Rewriter, call: Any) -> Any | None:
    attributes = call.attrs
    if (attributes.data_layout, attributes.kernel_layout, attributes.out_layout) != ("NCW", "OIW", "NCW"):
        return None
    left, right = _numbers(attributes.padding)
    return relax.op.nn.conv2d(
        rewriter.picture(call.args[0]),
        rewriter.picture(call.args[1]),
        strides=[1, *_numbers(attributes.strides)],
        padding=[0, left, 0, right],
        dilation=[1, *_numbers(attributes.dilation)],
        groups=int(attributes.groups),
        out_dtype=attributes.out_dtype,
    )


def _pool(build: Callable[..., Any]) -> Callable[[_Rewriter, Any], Any | None]:
    def rewrite(rewriter: _Rewriter, call: Any) -> Any | None:
        attributes = call.attrs
        if attributes.layout != "NCW" or attributes.out_layout != "NCW":
            return None
        left, right = _numbers(attributes.padding)
        return build(
            rewriter.picture(call.args[0]),
            [1, *_numbers(attributes.pool_size)],
            strides=[1, *_numbers(attributes.strides)],
            padding=[0, left, 0, right],
            dilation=[1, *_numbers(attributes.dilation)],
            ceil_mode=bool(attributes.ceil_mode),
            count_include_pad=bool(attributes.count_include_pad),
        )

    return rewrite


def _mean(rewriter: _Rewriter, call: Any) -> Any | None:
    """Over the axis of a tensor that is a picture already."""
    if call.args[0] not in rewriter.pictures or _numbers(call.attrs.axis or ()) not in ([2], [-1]):
        return None
    return relax.op.mean(rewriter.pictures[call.args[0]], [2, 3], keepdims=True)


def _elementwise(rewriter: _Rewriter, call: Any) -> Any | None:
    """Of tensors of which one is a picture already, and others are constants or of the same shape."""
    tensors = _tensors(call)
    if not any(each in rewriter.pictures for each in tensors if isinstance(each, relax.Var)):
        return None
    wanted = shape(
        next(each for each in tensors if isinstance(each, relax.Var) and each in rewriter.pictures)
    )
    operands = []
    for each in call.args:
        if not isinstance(each.ty, relax.TensorType):
            operands.append(each)
        elif (array := constant(each)) is not None:
            if array.ndim > 3:
                return None
            full = array.reshape((1,) * (3 - array.ndim) + array.shape)
            operands.append(rewriter.picture(literal(full)) if array.ndim else each)
        elif shape(each) == wanted:
            operands.append(rewriter.picture(each))
        else:
            return None
    return relax.Call(call.op, operands, call.attrs)


_ELEMENTWISE = (
    "relax.add", "relax.subtract", "relax.multiply", "relax.divide", "relax.maximum", "relax.minimum", "relax.clip",
    "relax.nn.relu", "relax.nn.leakyrelu", "relax.nn.gelu", "relax.nn.silu", "relax.sigmoid", "relax.tanh",
    "relax.erf", "relax.exp", "relax.log", "relax.sqrt", "relax.rsqrt", "relax.abs", "relax.negative",
    "relax.round", "relax.astype",
)  # fmt: skip

# What quantized convolutions are written in.
_OF_BYTES = (
    "relax.nn.conv1d", "relax.astype", "relax.add", "relax.subtract", "relax.multiply", "relax.divide", "relax.maximum",
    "relax.minimum", "relax.clip",
)  # fmt: skip

_REWRITES: dict[str, Callable[[_Rewriter, Any], Any | None]] = {
    "relax.nn.conv1d": _convolution,
    "relax.nn.max_pool1d": _pool(relax.op.nn.max_pool2d),
    "relax.nn.avg_pool1d": _pool(relax.op.nn.avg_pool2d),
    "relax.mean": _mean,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
}
