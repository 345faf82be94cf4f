"""What can be chosen about a training run, and what a guest may use. Plain data; the core checks the values.

`TrainingOptions` names every field of the core's `Overrides`; a test keeps the two lists equal.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass
from typing import Any, Literal, TypedDict

from .._errors import InvalidArgument
from .option_table import OPTIONS

__all__ = [
    "LIMITS_OF_A_PROCESS",
    "Limits",
    "Loss",
    "Optimizer",
    "Schedule",
    "TrainingOptions",
    "number",
    "scalar",
    "text",
]

# [generated: literals]
Optimizer = Literal["adam", "rmsprop", "sgd", "adamw", "adagrad", "nadam", "radam", "lion", "lamb"]
Loss = Literal[
    "cross_entropy_probabilities",
    "cross_entropy",
    "mse",
    "l1",
    "huber",
    "bce_with_logits",
    "nll",
    "kl_div",
    "cosine",
    "focal",
]
Schedule = Literal["constant", "step", "cosine", "exponential", "linear", "one_cycle", "plateau"]
Precision = Literal["f32", "bf16"]
# [/generated]


class TrainingOptions(TypedDict, total=False):
    """Options of a training run.

    One that is absent or None keeps the guest's choice, or the default in brackets.
    """

    # [generated: members]
    optimizer: Optimizer | None
    """Update rule, with PyTorch's formulas [adam]."""
    learning_rate: float | None
    """Step size, which a schedule scales [0.0001]."""
    weight_decay: float | None
    """L2 penalty; decoupled for adamw, lion and lamb [0]."""
    beta1: float | None
    """Smoothing of the gradient's mean (adam, adamw, nadam, radam, lion, lamb) [0.9]."""
    beta2: float | None
    """Smoothing of the gradient's square, or lion's later one of the mean (adam, adamw, nadam, radam, lion, lamb).

    Default: 0.999.
    """
    epsilon: float | None
    """Added to the divisor (adam, adamw, rmsprop, adagrad, nadam, radam, lamb) [1e-08]."""
    amsgrad: bool | None
    """Divide by the largest square so far (adam, adamw) [false]."""
    momentum_decay: float | None
    """How fast the momentum approaches beta1 (nadam) [0.004]."""
    momentum: float | None
    """Share of the previous step that is kept (sgd, rmsprop) [0]."""
    nesterov: bool | None
    """Nesterov's momentum; needs momentum above 0 and no dampening (sgd) [false]."""
    dampening: float | None
    """Share of a gradient that momentum leaves out (sgd) [0]."""
    alpha: float | None
    """Smoothing of the gradient's square (rmsprop) [0.99]."""
    freeze: Sequence[str] | str | None
    """Patterns of the parameters and running statistics that stay as they are [nothing]."""
    lora: Sequence[str] | str | None
    """Low-rank branches that are trained in place of the weights: PATTERN:RANK or PATTERN:RANK:ALPHA [none]."""
    loss: Loss | None
    """Loss function; cross_entropy takes logits [cross_entropy]."""
    class_weights: Sequence[float] | None
    """Weight of each class; the mean is over the weights (cross_entropy, cross_entropy_probabilities, nll) [all 1]."""
    ignore_index: int | None
    """Class index of the targets that do not count (cross_entropy, cross_entropy_probabilities, nll) [-100]."""
    label_smoothing: float | None
    """Share of each target that is spread over all classes (cross_entropy) [0]."""
    pos_weight: Sequence[float] | None
    """Weight of the positive targets of each output in the last dimension, or one for all (bce_with_logits) [all 1]."""
    huber_delta: float | None
    """Difference from which the loss is linear (huber) [1]."""
    focal_gamma: float | None
    """How much less a target counts that is already predicted well (focal) [2]."""
    focal_alpha: float | None
    """Weight of positive targets; negative ones have 1 - this (focal) [0.25]."""
    schedule: Schedule | None
    """Learning rate over time [constant]."""
    warmup_epochs: int | None
    """Epochs of linear warm-up from 0, before any schedule [0]."""
    step_epochs: int | None
    """Epochs between two decays (step) [1]."""
    gamma: float | None
    """Factor of each decay (step, exponential, plateau) [0.1]."""
    minimum_factor: float | None
    """Factor of the learning rate that is reached at the end of the run (cosine, linear) [0]."""
    peak_at: float | None
    """Share of the run after which the learning rate is highest (one_cycle) [0.3]."""
    start_divisor: float | None
    """The first learning rate is the highest divided by this (one_cycle) [25]."""
    end_divisor: float | None
    """The last learning rate is the first divided by this (one_cycle) [10000]."""
    plateau_patience: int | None
    """Epochs in a row without a loss lower by a ten-thousandth before a decay (plateau) [10]."""
    epochs: int | None
    """Passes over the training set, counting those before a resume [10]."""
    batch_size: int | None
    """Samples a step; the last batch of an epoch may be smaller [128]."""
    predict_batch_size: int | None
    """Rows of a prediction that are computed at a time; a model that looks across rows needs them all [all rows]."""
    batches_per_epoch: int | None
    """Batches an epoch [all]."""
    drop_last: bool | None
    """Leave out the last batch of an epoch when it is smaller than the others [false]."""
    shuffle: bool | None
    """A new order each epoch, drawn from the seed [true]."""
    restore_on_error: bool | None
    """Epochs that fail undo their steps, which takes a copy of the state, instead of keeping those completed.

    Default: false.
    """
    seed: int | None
    """Where order and dropout start [0]."""
    threads: int | None
    """Threads of the training host; 0 takes as many as the process may use [0]."""
    precision: Precision | None
    """Type that a training step multiplies in; bf16 pays on CPUs with AMX or AVX-512 BF16 [f32]."""
    rewrites: bool | None
    """Run the model's graph rewritten for speed; without, PyTorch's operators one by one [true]."""
    accumulate: int | None
    """Batches whose mean gradient makes one optimizer step [1]."""
    clip_norm: float | None
    """Largest L2 norm of all gradients together [no clipping]."""
    clip_value: float | None
    """Largest absolute value of a gradient element [no clipping]."""
    top_k: int | None
    """k of the second accuracy [5]."""
    early_stopping_patience: int | None
    """Epochs without improvement of the validation loss, or else the training loss, before stopping; 0 never stops.

    Default: 0.
    """
    early_stopping_min_delta: float | None
    """What counts as an improvement [0]."""
    early_stopping_restore_best: bool | None
    """Stopped early, the model has the weights and buffers of its best epoch [true]."""
    input_scale: float | None
    """Inputs become x * scale + offset in f32 [1/255 for u8, else 1]."""
    input_offset: float | None
    """Added to every input after scaling [0]."""
    # [/generated]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a guest may use at most.

    The defaults are wide enough for a guest that holds all of MNIST as f32.
    """

    memory_pages: int = 16384
    """Linear memory, in pages of 64 KiB."""
    wall_seconds: float = 0.0
    """Time of the whole run; 0 sets no limit. Needs an isolated run."""
    tensor_bytes: int = 4 << 30
    """Host copies of the guest's tensors, and tensors of a model."""
    open_files: int = 256
    """Files the guest may have open at once. Needs an isolated run."""
    abi_handles: int = 1024
    """Models, datasets, trainers and the like that the guest may have open at once."""
    output_bytes: int = 1 << 30
    """Console output, and the size of any file written. Needs an isolated run."""
    process_bytes: int = 0
    """All that the run's process allocates, the guest's memory, tensors and a model's results included: at least 256
    MiB; 0 stands for three quarters of what the machine has to spare. Needs an isolated run."""

    grace_seconds: float = 10.0
    """How long an interrupted run may take to end by itself, before its process is ended. Needs an isolated run."""
    handles: InitVar[int | None] = None
    """As version 0.1 called `open_files`."""

    def __post_init__(self, handles: int | None) -> None:
        if handles is not None:
            warnings.warn(
                "Limits: handles is now open_files; the old name goes with the next release",
                FutureWarning,
                stacklevel=3,
            )
            object.__setattr__(self, "open_files", handles)

    def to_config(self) -> dict[str, int | float]:
        """The `limits` object of a run configuration."""
        for key, value in asdict(self).items():
            _check_finite(f"limits.{key}", value)
        return asdict(self)


# Read by its old name, it has the same value.
Limits.handles = property(lambda limits: limits.open_files)  # type: ignore[attr-defined]

_TEXTS = frozenset(option.name for option in OPTIONS if option.type == list[str])

LIMITS_OF_A_PROCESS = ("wall_seconds", "open_files", "output_bytes", "process_bytes", "grace_seconds")
"""Those that are kept by the child process of an isolated run, and nowhere else."""


def set_options(options: TrainingOptions) -> dict[str, object]:
    """The `training` object of a run configuration: the options that were given a value."""
    given: dict[str, object] = {}
    for key, value in options.items():
        if value is None:
            continue
        if key in _TEXTS:
            given[key] = _texts(key, value)
            continue
        several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
        given[key] = _numbers(key, value) if several and getattr(value, "ndim", 1) > 0 else scalar(key, value)
    return given


def _texts(key: str, value: Any) -> list[str]:
    """One text, or several."""
    if isinstance(value, str):
        return [text(key, value)]
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise InvalidArgument(f"{key} is {value!r:.80}; expected a text, or a list of them")
    return [text(f"a text of {key}", each) for each in value]


def _numbers(key: str, values: Any) -> list[float]:
    """Of a list, an array or a tensor."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(f"{key} is {values!r:.80}; expected numbers") from error
    for item in numbers:
        _check_finite(f"a number of {key}", item)
    return numbers


def scalar(key: str, value: object) -> str | bool | int | float:
    """A value as JSON has it: that of a NumPy scalar, an array or a tensor without dimensions is taken out of it.

    Errors: `InvalidArgument` for another type, numbers that are not finite and text that UTF-8 cannot express.
    """
    plain = value.item() if getattr(value, "ndim", None) == 0 else value  # type: ignore[attr-defined]
    if isinstance(plain, str):
        return text(key, plain)
    if not isinstance(plain, (bool, int, float)):
        raise InvalidArgument(f"{key} is {value!r:.80}; expected a number, a truth value or a name")
    _check_finite(key, plain)
    return plain


def number(key: str, value: object) -> int | float:
    """Errors: `InvalidArgument` unless it is a finite number."""
    plain = scalar(key, value)
    if isinstance(plain, (str, bool)):
        raise InvalidArgument(f"{key} is {value!r:.80}; expected a number")
    return plain


def text(key: str, value: object) -> str:
    """Errors: `InvalidArgument` for what is no text, or no UTF-8."""
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidArgument(f"{key} is {value!r:.80}; expected text, which is UTF-8")
    return value


def _check_finite(key: str, value: object) -> None:
    # JSON has no other numbers.
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument(f"{key} is {value}; expected a finite number")
