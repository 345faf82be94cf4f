"""The kernel library as the compiler sees it: for each kernel its C function, descriptor, packed weights and sizes.

A kernel is called as `int symbol(const int32_t* descriptor, float* parameter...)`, its pointers in the order of
`parameters`, all tensors dense float32, pictures in NHWC. The functions themselves are in cpp/graph_runtime/kernels.
"""

from __future__ import annotations

from .base import Activation, Descriptor, Kernel, Tensor
from .conv import Conv2d
from .lstm import Lstm
from .matmul import MatMul
from .pool import Pool2d
from .vector import LayerNorm, Softmax, Transpose, Unary, UnaryFunction

__all__ = [
    "Activation",
    "Conv2d",
    "Descriptor",
    "Kernel",
    "LayerNorm",
    "Lstm",
    "MatMul",
    "Pool2d",
    "Softmax",
    "Tensor",
    "Transpose",
    "Unary",
    "UnaryFunction",
]
