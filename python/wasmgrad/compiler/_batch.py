"""One plan for batches of any size within a range, made of the plans for some sizes.

Each of those is lowered as any other. Where they are the same but for numbers that grow evenly with the batch, so is
the plan for all: kernels of our own read their sizes from descriptors, which are written anew for each batch, and
generated ones take it as a parameter. What is not the same is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import tvm_ffi
from numpy.typing import NDArray

from .._errors import Unsupported
from .._graph.format.metadata import TensorInfo
from .backend.codegen import is_own
from .backend.plan import Call, Operand, Plan, Prepared, Program, TensorType
from .backend.symbolic import evenly, for_any_batch, number_of_batch
from .passes.kernels import Kernel

__all__ = ["Sample", "batched_infos", "for_range", "sample_batches"]

_PRIMES = (5, 7, 11)  # which few things divide, so that little happens to be alike


@dataclass(frozen=True)
class Sample:
    """A plan for `batch` samples in a program of its own, its generated kernels by name, and those of our own."""

    batch: int
    program: Program
    functions: Mapping[str, Any]
    kernels: Mapping[tuple[str, bytes], Kernel]

    @property
    def plan(self) -> Plan:
        """The only one."""
        return self.program.plans[0]


def sample_batches(within: range) -> list[int]:
    """The largest batch, for which memory is laid out, and two others."""
    return [within[-1], *(prime for prime in _PRIMES if prime != within[-1])][:3]


def for_range(
    samples: Sequence[Sample], within: range, program: Program
) -> tuple[Plan, dict[str, tuple[Any, Any]]]:
    """The plan for all batches, and its generated kernels for any batch and for the largest.

    They have the names that they have in `samples[0]`; the plan's constants and buffers are in `program` then.

    Errors: `Unsupported`, naming the call that is not the same for all batches.
    """
    made = _Range(samples, within, program)
    return made.plan, made.functions


def batched_infos(
    infos: Sequence[Sequence[TensorInfo]], batches: Sequence[int], side: str
) -> tuple[TensorInfo, ...]:
    """Inputs or outputs as they are with the most samples, with the axes that have a multiple of the batch.

    Errors: `Unsupported` for one whose extents are something else.
    """
    found = []
    for each in zip(*infos, strict=True):
        first = each[0]
        axes = []
        for axis, extents in enumerate(zip(*(info.shape for info in each), strict=True)):
            even = evenly(extents, batches)
            if even is None or (even.each and even.rest):
                raise _refused(f"{side} {first.name!r} has an axis {axis} that is no multiple of the batch")
            if even.each:
                axes.append(axis)
        found.append(replace(first, batched=tuple(axes)))
    return tuple(found)


class _Range:
    def __init__(self, samples: Sequence[Sample], within: range, program: Program) -> None:
        self._samples = samples
        self._batches = [sample.batch for sample in samples]
        self._within = within
        self._program = program
        self._buffers: dict[int, Operand] = {}
        self._known: dict[tuple[str, ...], Any] = {}
        self.functions: dict[str, tuple[Any, Any]] = {}
        self.plan = Plan(batch=within)
        plans = [sample.plan for sample in samples]
        if len({len(plan.calls) for plan in plans}) > 1:
            raise _refused("it has other kernels for some batches than for others")
        names = [name for name, _ in plans[0].inputs]
        ends = zip(*([operand for _, operand in plan.inputs] for plan in plans), strict=True)
        self.plan.inputs = [
            (name, self._operand(each, f"input {name!r}")) for name, each in zip(names, ends, strict=True)
        ]
        for calls in zip(*(plan.calls for plan in plans), strict=True):
            self.plan.calls.append(self._call(calls))
        self.plan.outputs = [
            self._operand(each, "an output") for each in zip(*(plan.outputs for plan in plans), strict=True)
        ]

    def _call(self, calls: Sequence[Call]) -> Call:
        first = calls[0]
        what = f"{first.name!r} ({first.kernel})"
        counts = {(len(call.arguments), len(call.results)) for call in calls}
        owns = [(call.kernel, self._descriptor(sample, call)) for sample, call in self._with(calls)]
        kernels = [sample.kernels.get(key) for sample, key in self._with(owns)]
        if len(counts) > 1 or len({type(kernel) for kernel in kernels}) > 1:
            raise _refused(f"{what} is computed otherwise for some batches than for others")
        if kernels[0] is not None:
            return self._own_call(calls, kernels, what)
        takes_batch = self._function([call.kernel for call in calls], what)
        arguments, results = (
            tuple(self._operand(each, what) for each in zip(*side, strict=True))
            for side in ([call.arguments for call in calls], [call.results for call in calls])
        )
        return Call(first.kernel, arguments, results, first.name, takes_batch)

    def _with(self, each: Sequence[Any]) -> Any:
        return zip(self._samples, each, strict=True)

    @staticmethod
    def _descriptor(sample: Sample, call: Call) -> bytes:
        if not is_own(call.kernel) or call.arguments[0].kind != "constant":
            return b""
        return sample.program.constants[call.arguments[0].index].tobytes()

    def _function(self, names: Sequence[str], what: str) -> bool:
        """Whether a generated kernel takes the batch."""
        key = tuple(names)
        if key not in self._known:
            functions = [sample.functions[name] for sample, name in self._with(names)]
            self._known[key] = for_any_batch(functions, self._batches, self._within)
        function = self._known[key]
        if function is None:
            raise _refused(f"{what} mixes samples, or is computed otherwise for some batches than for others")
        other = self.functions.setdefault(names[0], (function, self._samples[0].functions[names[0]]))
        if not tvm_ffi.structural_equal(other[0], function):
            raise _refused(f"{what} is the same as another for some batches only")
        return number_of_batch(function) is not None

    def _own_call(self, calls: Sequence[Call], kernels: Sequence[Any], what: str) -> Call:
        kernel_at = _kernel_for(kernels, self._batches)
        for sample, call in self._with(calls):
            same = kernel_at is not None and kernel_at(sample.batch).descriptor().tobytes()
            if same != self._descriptor(sample, call):
                raise _refused(f"{what} has sizes that do not grow evenly with the batch")
        assert kernel_at is not None
        every = [kernel_at(batch) for batch in self._within]
        descriptors = np.stack([kernel.descriptor() for kernel in every])
        descriptor = self._prepared(descriptors)
        scratch = self._scratch(calls, max(kernel.scratch_bytes() for kernel in every))
        arguments = [
            descriptor if each[0] == calls[0].arguments[0] else self._operand(each, what)
            for each in zip(*(call.arguments for call in calls), strict=True)
        ]
        results = [
            self._operand(each, what) for each in zip(*(call.results[:-1] for call in calls), strict=True)
        ]
        return Call(calls[0].kernel, tuple(arguments), (*results, scratch), calls[0].name)

    def _prepared(self, descriptors: NDArray[np.int32]) -> Operand:
        """A constant that has the descriptor of the chosen batch, of which there is a row for each."""
        operand = self._program.changing(descriptors)
        if operand not in {each.descriptor for each in self.plan.prepared}:
            for field in np.flatnonzero((descriptors != descriptors[0]).any(0)):
                values = descriptors[:, field]
                even = evenly([int(value) for value in values], self._within) if len(values) > 2 else None
                table = (
                    None if even else self._program.constant(values.copy(), TensorType(values.shape, "int32"))
                )
                pair = (even.each, even.rest) if even else (0, 0)
                self.plan.prepared.append(Prepared(operand, int(field), *pair, table))
        return operand

    def _scratch(self, calls: Sequence[Call], size: int) -> Operand:
        index = calls[0].results[-1].index
        operand = self._program.buffer(TensorType((size,), "uint8"))
        self._buffers[index] = operand
        return operand

    def _operand(self, each: Sequence[Operand], what: str) -> Operand:
        first = each[0]
        tensor = self._type(each, what)
        if len({(operand.kind, operand.index) for operand in each if operand.kind != "constant"}) > 1:
            raise _refused(f"{what} is between other kernels for some batches than for others")
        if len({operand.kind for operand in each}) > 1:
            raise _refused(f"{what} reads weights for some batches only")
        if first.kind == "constant":
            return self._constant(each, what)
        if first.kind == "made":
            return replace(self._made(first.index, what), type=tensor)
        if first.index not in self._buffers:
            sizes = [sample.program.buffer_bytes[first.index] for sample in self._samples]
            even = evenly(sizes, self._batches)
            if even is None or even.each < 0:
                raise _refused(f"{what} has results that do not grow evenly with the batch")
            self._buffers[first.index] = self._program.buffer(TensorType((sizes[0],), "uint8"))
        return replace(self._buffers[first.index], type=tensor)

    def _type(self, each: Sequence[Operand], what: str) -> TensorType:
        """The type with the most samples."""
        types = [operand.type for operand in each]
        if len({(len(tensor.shape), tensor.dtype) for tensor in types}) > 1:
            raise _refused(f"{what} has tensors of other ranks for some batches than for others")
        for extents in zip(*(tensor.shape for tensor in types), strict=True):
            if evenly(extents, self._batches) is None:
                raise _refused(f"{what} has extents that do not grow evenly with the batch")
        return types[0]

    def _constant(self, each: Sequence[Operand], what: str) -> Operand:
        """A constant that all batches have in common: the same, or the same for each sample."""
        arrays = [np.ascontiguousarray(sample.program.constants[op.index]) for sample, op in self._with(each)]
        first = arrays[0]
        whole = self._program.constant(first, each[0].type)
        if all(array.shape == first.shape and array.tobytes() == first.tobytes() for array in arrays):
            return whole
        sizes = [array.size for array in arrays]
        even = evenly(sizes, self._batches)
        if even is not None and even.rest == 0 and even.each > 0:
            sample = first.reshape(-1)[: even.each]
            if all((array.reshape(-1, even.each).view() == sample).all() for array in arrays):
                return whole
        raise _refused(f"{what} reads a constant that differs from sample to sample")

    def _made(self, index: int, what: str) -> Operand:
        """A weight that is made when the module is loaded."""
        loads = [
            next(load for load in sample.program.loads if load.results[0].index == index)
            for sample in self._samples
        ]
        arguments = tuple(
            self._constant(each, what) for each in zip(*(load.arguments for load in loads), strict=True)
        )
        made, scratch = loads[0].results
        return self._program.load(loads[0].kernel, arguments, (made.type, scratch.type), loads[0].name)[0]


def _kernel_for(kernels: Sequence[Any], batches: Sequence[int]) -> Any:
    """What gives a kernel's sizes for any batch; None where they do not grow evenly."""
    first = kernels[0]
    varying: dict[str, Any] = {}
    for field in fields(first):
        values = [getattr(kernel, field.name) for kernel in kernels]
        if is_dataclass(values[0]) and not isinstance(values[0], type):
            inner = _kernel_for(values, batches)
            if inner is None:
                return None
            varying[field.name] = inner
        elif isinstance(values[0], int) and not isinstance(values[0], bool):
            even = evenly(values, batches)
            if even is None:
                return None
            varying[field.name] = even.at
        elif any(repr(value) != repr(values[0]) for value in values):
            return None
    return lambda batch: replace(first, **{name: at(batch) for name, at in varying.items()})


def _refused(why: str) -> Unsupported:
    return Unsupported(
        f"the model cannot be compiled for batches of any size: {why}; give those that are needed as a list of shapes"
    )
