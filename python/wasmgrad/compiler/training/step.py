"""One training step as a function of tensors alone: parameters and optimizer state in, their next values out.

So are the evaluation of a batch and a prediction. Each is recorded with placeholders, forwards and backwards, and goes
on as any model of torch does. Run on real tensors instead, the same functions are what a compiled step is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from ..._errors import InvalidArgument, Unsupported
from ..._training.step_options import TrainOptions
from ..frontend.torch_program import Argument, Program
from .batch_norm import Rows
from .gradients import decompositions
from .losses import CLASSIFICATION, Judged, judge, target_of
from .model import TrainedModel
from .optimizers import clipped, rule_of
from .simplify import simplified

__all__ = ["ENTRIES", "STATUS", "TrainingStep"]

ENTRIES = ("step", "evaluate", "predict")
STATUS = {
    1: "the loss is not finite; training cannot go on (a lower learning rate or gradient clipping may help)",
    2: "a gradient is not finite; training cannot go on (a lower learning rate or a clip by value may help)",
    4: "a target is none of the classes",
    8: "the number of rows is not one that the step was compiled for",
}
"""What the bits of a status say. With any of them the state is as it was before."""

Named = list[tuple[str, Tensor]]


@dataclass(frozen=True)
class TrainingStep:
    """The functions of a model's training, for inputs of fixed shapes [batch, ...].

    `states` are all tensors that outlive a step, by name, with what they are at first: `model.*` (parameters, and
    buffers that steps change), `optimizer.*`, and `settings.*`, which only a host changes. `fixed` are the parameters
    and buffers of the model that are part of the functions. `target` is type and shape of the targets, `classes` how
    many they are of, or 0; `least` is how many rows a step must have.
    """

    model: TrainedModel
    options: TrainOptions
    inputs: Sequence[Argument]
    format: str
    digest: str = "0" * 64
    states: dict[str, Tensor] = field(default_factory=dict)
    fixed: dict[str, Tensor] = field(default_factory=dict)
    target: Argument = field(init=False)
    classes: int = field(init=False, default=0)
    least: int = field(init=False, default=1)

    @classmethod
    def of(
        cls, model: TrainedModel, options: TrainOptions, inputs: Sequence[Argument], kind: str, digest: str
    ) -> TrainingStep:
        """Errors: `InvalidArgument`, `Unsupported` for a model that cannot be trained so."""
        step = cls(model, options, inputs, kind, digest)
        output, written = step._rehearsed()
        model.check_places(step._drawn())
        dtype, shape = target_of(options, output)
        object.__setattr__(step, "target", Argument("target", dtype, shape))
        object.__setattr__(step, "classes", output.shape[1] if options.loss in CLASSIFICATION else 0)
        rule = rule_of(options)
        states, kept = step.states, {name: model.buffers[name] for name in written}
        states.update({f"model.{name}": tensor for name, tensor in {**model.trained, **kept}.items()})
        for each in rule.lists:
            states.update({f"optimizer.{each}.{n}": torch.zeros_like(t) for n, t in model.trained.items()})
        states.update({f"optimizer.{name}": torch.tensor(value) for name, value in rule.shared.items()})
        settings = options.settings(rule.settings)
        states.update({f"settings.{n}": torch.tensor(v, dtype=torch.float64) for n, v in settings.items()})
        others = {**model.parameters, **model.buffers}
        step.fixed.update({n: t for n, t in others.items() if f"model.{n}" not in states})
        return step

    @property
    def batch(self) -> int:
        """Rows of a whole batch."""
        assert self.inputs[0].shape is not None
        return int(self.inputs[0].shape[0])

    def arguments(self, entry: str) -> list[Argument]:
        """States that the entry reads, then its inputs."""
        names = [n for n in self.states if entry == "step" or n.startswith("model.")]
        states = [Argument(n, self.states[n].dtype, tuple(self.states[n].shape)) for n in names]
        rows = [] if entry == "predict" else [self.target, Argument("rows", torch.int64, ())]
        return [*states, *self.inputs, *rows]

    def program(self, entry: str) -> Program:
        """The entry, recorded. Errors: `Unsupported` where its values decide what is computed."""
        names: list[str] = []
        rows = Rows()
        function = self.function(entry, rows)

        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            results = function(*tensors)
            names[:] = [name for name, _ in results]
            return tuple(tensor for _, tensor in results)

        arguments = self.arguments(entry)
        examples = [torch.zeros(each.shape, dtype=each.dtype) for each in arguments]  # type: ignore[arg-type]
        table = {**decompositions(), **rows.decompositions()}
        recorded = simplified(
            make_fx(run, decomposition_table=table, tracing_mode="fake", _allow_non_fake_inputs=True)(
                *examples
            ),
            examples,
        )
        if entry == "step":
            object.__setattr__(self, "least", rows.least)
        return Program(recorded, recorded, arguments, self.format, list(names))

    def function(
        self, entry: str, rows: Rows | None = None, dtype: torch.dtype | None = None
    ) -> Callable[..., Named]:
        """The entry as a function of its arguments' tensors. rows: told which count; dtype: of all floats."""
        kinds = {"step": self._step, "evaluate": self._evaluate, "predict": self._predict}
        function = self.model.function(entry == "step", dtype)
        names = [each.name for each in self.arguments(entry)]

        def call(*tensors: Tensor) -> Named:
            return kinds[entry](function, dict(zip(names, tensors, strict=True)), rows or Rows())

        return call

    def _step(self, function: Any, given: dict[str, Tensor], rows: Rows) -> Named:
        weights = self._weights(given, rows)
        trained = list(self.model.trained)
        leaves = {name: given[f"model.{name}"].detach().requires_grad_() for name in trained}
        buffers = {name: given[f"model.{name}"].clone() for name in self._kept()}
        with torch.enable_grad():
            output = self._output(function({**leaves, **buffers}, self._inputs(given)))
            judged = judge(self.options, output, given["target"], weights)
            found = torch.autograd.grad(judged.loss, list(leaves.values()), allow_unused=True)
        with torch.no_grad():
            status = self._status(given["rows"], judged, found)
            after = self._updated(given, found)
            after |= {f"model.{name}": function.current(name) for name in buffers}
            good = status == 0
            following = [
                (f"next.{name}", torch.where(good, tensor.to(given[name].dtype), given[name]))
                for name, tensor in after.items()
            ]
        return [*self._metrics(judged, status), *following]

    def _updated(self, given: dict[str, Tensor], gradients: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """The next parameters and optimizer state; those of a parameter without gradient stay."""
        rule = rule_of(self.options)
        settings = {n.removeprefix("settings."): t for n, t in given.items() if n.startswith("settings.")}
        shared = {name: given[f"optimizer.{name}"] for name in rule.shared}
        numbers = dict(settings)
        after = {f"optimizer.{n}": t for n, t in rule.advance(shared, numbers).items()}
        limited = clipped(self.options, gradients, settings)
        for name, gradient in zip(self.model.trained, limited, strict=True):
            if gradient is None:
                continue
            lists = [f"optimizer.{each}.{name}" for each in rule.lists]
            p, kept = rule.update(given[f"model.{name}"], gradient, [given[n] for n in lists], numbers)
            after[f"model.{name}"] = p
            after |= dict(zip(lists, kept, strict=True))
        return after

    def _status(self, rows: Tensor, judged: Judged, gradients: Sequence[Tensor | None]) -> Tensor:
        given = [gradient for gradient in gradients if gradient is not None]
        if not given:
            raise InvalidArgument("no trainable parameter of the model takes part in its output")
        bits = self._common_status(rows, judged)
        bits = bits | (_bit(1) * (~(judged.loss.abs() < torch.inf)).to(torch.int32))
        if self.options.clip_value is None:
            wrong = [~(gradient.abs() < torch.inf) for gradient in given]
        else:  # which bounds what is infinite
            wrong = [torch.isnan(gradient) for gradient in given]
        counts = [torch.ops.aten.sum.dim_IntList(each.to(torch.int64).flatten(), [0]) for each in wrong]
        any_wrong = torch.ops.aten.sum.dim_IntList(torch.stack(counts), [0]) > 0
        status: Tensor = bits | (_bit(2) * any_wrong.to(torch.int32))
        return status

    def _common_status(self, rows: Tensor, judged: Judged) -> Tensor:
        bits = _bit(4) * (judged.beyond > 0).to(torch.int32)
        return bits | (_bit(8) * ((rows < self.least) | (rows > self.batch)).to(torch.int32))

    def _evaluate(self, function: Any, given: dict[str, Tensor], rows: Rows) -> Named:
        weights = self._weights(given, rows)
        output = self._output(function(self._tensors(given), self._inputs(given)))
        judged = judge(self.options, output, given["target"], weights)
        return self._metrics(judged, self._common_status(given["rows"], judged))

    def _predict(self, function: Any, given: dict[str, Tensor], _rows: Rows) -> Named:
        results = function(self._tensors(given), self._inputs(given))
        only = len(results) == 1
        return [(key or ("output" if only else f"output.{i}"), t) for i, (key, t) in enumerate(results)]

    @staticmethod
    def _metrics(judged: Judged, status: Tensor) -> Named:
        return [
            ("loss", judged.loss),
            ("ranked", judged.ranked),
            ("correct", judged.correct),
            ("in_top_k", judged.in_top_k),
            ("status", status),
        ]

    def _weights(self, given: dict[str, Tensor], rows: Rows) -> Tensor:
        weights = (torch.arange(self._rows(given)) < given["rows"]).to(torch.float32)
        rows.weights = weights
        return weights

    def _rows(self, given: dict[str, Tensor]) -> int:
        return given[self.inputs[0].name].shape[0]

    def _tensors(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of the model."""
        return {n.removeprefix("model."): t for n, t in given.items() if n.startswith("model.")}

    def _inputs(self, given: dict[str, Tensor]) -> list[Tensor]:
        return [given[each.name] for each in self.inputs]

    def _kept(self) -> list[str]:
        return [name for name in self.model.buffers if f"model.{name}" in self.states]

    @staticmethod
    def _output(results: Sequence[tuple[str | None, Tensor]]) -> Tensor:
        if len(results) != 1:
            raise Unsupported(
                f"the model returns {len(results)} tensors; a compiled training step takes the loss of one"
            )
        return results[0][1]

    def _drawn(self) -> list[Tensor]:
        """Inputs of a batch: numbers around 0, and indices of 0, which every table has."""
        generator = torch.Generator().manual_seed(0)
        return [
            torch.randn(each.shape, generator=generator, dtype=each.dtype)  # type: ignore[arg-type]
            if each.dtype is not None and each.dtype.is_floating_point
            else torch.zeros(each.shape, dtype=each.dtype)  # type: ignore[arg-type]
            for each in self.inputs
        ]

    def _rehearsed(self) -> tuple[Tensor, list[str]]:
        """The output for zeros, and the names of the buffers that a run in training mode changes."""
        function = self.model.function(training=True)
        given = {name: tensor.clone() for name, tensor in self.model.buffers.items()}
        inputs = [torch.zeros(each.shape, dtype=each.dtype) for each in self.inputs]  # type: ignore[arg-type]
        seen = _Seen()
        with torch.no_grad(), seen:
            output = self._output(function(given, inputs))
        if seen.random:
            raise Unsupported(
                f"the model draws random numbers in training mode ({', '.join(sorted(seen.random))}), which compiled "
                "steps do not do yet: set its probability to 0"
            )
        written = [
            name
            for name, tensor in given.items()
            if function.current(name)._cdata != tensor._cdata or tensor._cdata in seen.written
        ]
        if output.dim() == 0 or output.shape[0] != self.batch:
            raise InvalidArgument(
                f"the model's output has shape {list(output.shape)} for a batch of {self.batch}; expected a row for "
                "each"
            )
        if not output.is_floating_point():
            raise InvalidArgument(
                f"the model's output is of type {output.dtype}; a loss needs floating point"
            )
        return output, written


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which tensors are `written`, and operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.written: set[int] = set()
        self.random: set[str] = set()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            name = str(func.overloadpacket).removeprefix("aten.")
            self.random.add("dropout" if "bernoulli" in name else name)
        targets = [
            value
            for argument, value in zip(func._schema.arguments, args, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        if func is torch.ops.aten.native_batch_norm.default and args[5]:
            targets += args[3:5]  # its schema does not tell
        self.written |= {value._cdata for value in targets if isinstance(value, Tensor)}
        return func(*args, **(kwargs or {}))


def _bit(value: int) -> Tensor:
    return torch.full((), value, dtype=torch.int32)
