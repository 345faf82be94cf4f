"""The kernel library as the compiler sees it: for each kernel its C function, descriptor, packed weights and sizes.

A kernel is called as `int symbol(const int32_t* descriptor, float* parameter...)`, its pointers in the order of
`parameters`, all tensors dense and float32 where nothing else is said, pictures in NHWC. The functions themselves are
in cpp/graph_runtime/kernels.
"""

from __future__ import annotations

from .base import Activation, Descriptor, Kernel, Tensor
from .conv import Conv2d
from .conv_quantized import Conv2dQuantized
from .expand import EXPAND, Arrangement, Expand, Stored, store
from .gru import Gru, GruReset, GruUpdate
from .lstm import Lstm
from .matmul import MatMul
from .matmul_quantized import MatMulQuantized
from .pool import Pool2d
from .quantize import AddQuantized, Extreme, Quantize
from .quantized import MAX_DEPTH, Columns, Quantization
from .vector import LayerNorm, Softmax, Transpose, Unary, UnaryFunction

__all__ = [
    "EXPAND",
    "MAX_DEPTH",
    "Activation",
    "AddQuantized",
    "Arrangement",
    "Columns",
    "Conv2d",
    "Conv2dQuantized",
    "Descriptor",
    "Expand",
    "Extreme",
    "Gru",
    "GruReset",
    "GruUpdate",
    "Kernel",
    "LayerNorm",
    "Lstm",
    "MatMul",
    "MatMulQuantized",
    "Pool2d",
    "Quantization",
    "Quantize",
    "Softmax",
    "Stored",
    "Tensor",
    "Transpose",
    "Unary",
    "UnaryFunction",
    "store",
]
