# Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h.
# Functions raise componentize_py_types.Err, whose `value` is an Error.
from dataclasses import dataclass
from enum import Enum
from typing import Self

class Errno(Enum):
    """Why a call failed; the numbers are wasi-nn's nn_errno."""
    INVALID_ARGUMENT = 0
    INVALID_ENCODING = 1
    TIMEOUT = 2
    RUNTIME_ERROR = 3
    UNSUPPORTED_OPERATION = 4
    TOO_LARGE = 5
    NOT_FOUND = 6
    SECURITY = 7
    UNKNOWN = 8
    INTERRUPTED = 9

class TensorType(Enum):
    """Element types, little-endian. The numbers are wasi-nn's tensor types, then bf16."""
    F16 = 0
    F32 = 1
    F64 = 2
    U8 = 3
    I32 = 4
    I64 = 5
    BF16 = 6

class Encoding(Enum):
    """File formats of models."""
    AUTODETECT = 0
    TORCHSCRIPT = 1
    TORCH_EXPORT = 2
    SAFETENSORS = 3
    LORA = 4

class ExecutionTarget(Enum):
    CPU = 0

@dataclass
class Error:
    """Why a call failed, and one sentence for a person."""
    code: Errno
    message: str

@dataclass
class Tensor:
    """A tensor in the guest's memory: wasi-nn's record. Elements are dense and row-major; no alignment is
    needed."""
    dims: list[int]
    type: TensorType
    data: bytes

@dataclass
class NamedTensor:
    """A tensor with a name. A list of tensors is matched with a model's arguments or outputs by name; when
    no tensor of the list has a name, by position: all have one, or none. Names are UTF-8, not terminated,
    of at most 1024 bytes; a list of more than 1024 tensors is `too-large`."""
    name: str
    tensor: Tensor

@dataclass
class Metrics:
    """What a pass over samples measured. NaN where there is no such figure."""
    loss: float
    accuracy: float
    top_k_accuracy: float
    learning_rate: float
    seconds: float
    samples: int
    step: int
    epoch: int

@dataclass
class FitReport:
    """What `trainer.fit` did."""
    train: Metrics
    validation: Metrics
    epochs: int
    stopped_early: bool

@dataclass
class Progress:
    """Where a trainer stands."""
    epoch: int
    step: int
    batch: int
    best_epoch: int
    best_loss: float
    resumed: bool
    shows_best: bool
    stop_requested: bool
    owner_epochs: int

class Model:
    @classmethod
    def load(cls, bytes: bytes, encoding: Encoding, target: ExecutionTarget) -> Self:
        """Loads a model from bytes. It is vetted first: a file that could do more than compute is
        `security`."""
        ...
    @classmethod
    def load_by_name(cls, name: str, target: ExecutionTarget) -> Self:
        """Loads a model that the owner granted under this name."""
        ...
    def export(self, encoding: Encoding) -> bytes:
        """The model with its present weights, as bytes of `encoding`."""
        ...

class Dataset:
    @classmethod
    def create(cls) -> Self:
        """An empty dataset. Its first block decides the columns: names, types, and shapes but for the first
        dimension."""
        ...
    def append(self, inputs: list[NamedTensor], targets: list[NamedTensor]) -> None:
        """Appends a block of rows: each tensor's first dimension counts them and is the same for all. A
        dataset that was split or given to a trainer cannot grow any more."""
        ...
    def split(self, fractions: list[float], seed: int) -> list[Dataset]:
        """Deals the rows into n new datasets, in an order drawn from `seed`. Each fraction is in 0..1 and
        their sum at most 1 (within 1e-9); part i has floor(fraction * rows) rows, and the last part takes
        what is left when the sum is 1. The parts share the rows' memory with `dataset`, which stays as it
        is."""
        ...
    def size(self) -> int:
        """The number of rows."""
        ...

class Trainer:
    @classmethod
    def create(cls, model: Model, options: str) -> Self:
        """A trainer of `model`, which has at most one at a time. `options` is a JSON object, described in
        docs/training-abi.md#options; an unknown key is an error. Owners may override what it says."""
        ...
    def fit(self, train: Dataset, validation: Dataset | None, epochs: int) -> FitReport:
        """Trains `epochs` more epochs, each followed by an evaluation of `validation` (0: none), unless
        early stopping or the owner ends it sooner. Epochs of a checkpoint that the owner resumed count:
        the guest asks for the same number as the first time, and only those that are missing are trained,
        none when there are enough. Early stopping leaves the model with the weights and buffers of the
        best epoch, unless its option restore_best is off: evaluation, prediction and export use them.
        Training goes on from those of the last epoch, also after `trainer.restore`: a checkpoint has
        both. A step that fails ends the call and leaves no trace. The steps before it are kept; if there
        are any, `report` is written: its `epochs` counts whole ones, and `train` is over the steps of the
        epoch that failed. The next call goes on with the batch that failed. With the option
        restore_on_error all steps of the call are undone instead."""
        ...
    def epoch(self, train: Dataset) -> Metrics:
        """Trains one epoch. When a step fails, those before it are kept, as in `trainer.fit`, and `metrics`
        are over them."""
        ...
    def step(self, inputs: list[NamedTensor], targets: list[NamedTensor]) -> Metrics:
        """Trains one batch, given by the guest: backward, then apply. It happens whole or not at all: on an
        error parameters, buffers, optimizer and counters are as they were."""
        ...
    def backward(self, inputs: list[NamedTensor], targets: list[NamedTensor]) -> Metrics:
        """Adds the gradient of the batch's mean loss to the trainer's gradients. On an error nothing has
        changed."""
        ...
    def apply(self) -> None:
        """One optimizer step with the mean of the gradients that backward() added since the last one; clears
        them. Without any gradients the result is `invalid-argument`."""
        ...
    def evaluate(self, dataset: Dataset) -> Metrics:
        """Loss and accuracy in evaluation mode, in batches of the option batch_size. Buffers of the model
        stay."""
        ...
    def progress(self) -> Progress:
        """Where the trainer stands: what a loop of the guest's own begins with, since the owner may have
        resumed a checkpoint."""
        ...
    def predict(self, inputs: list[NamedTensor]) -> int:
        """Runs the model in evaluation mode and keeps its outputs until the next prediction; `outputs` is
        their number. All rows are one batch, unless the option predict_batch_size cuts them. Buffers of
        the model stay."""
        ...
    def output(self, index: int) -> Tensor:
        """Output `index` of the last prediction: its type and shape, and its elements as bytes."""
        ...
    def set(self, key: str, value: float) -> None:
        """Changes a hyper-parameter from the next step on: one that the table of options marks as such
        (docs/training-abi.md#options), for example "learning_rate"; 0 turns "clip_norm" and "clip_value"
        off. A learning rate that was set replaces the base rate, which the schedule still scales. An
        unknown key is `not-found`; one that the owner decided is `unsupported-operation`, and stays."""
        ...
    def parameters(self) -> list[float]:
        """The trainable parameters as f32, one after the other in the model's order: what federated
        averaging exchanges, together with the buffers of a model that has some."""
        ...
    def set_parameters(self, values: list[float]) -> None:
        """Replaces the parameters. `bytes` is exactly their size; every value must be finite. The
        optimizer's state stays."""
        ...
    def gradients(self) -> list[float]:
        """The mean of the gradients that backward() added since the last apply(), in the order and size of
        the parameters; 0 where a parameter has none."""
        ...
    def set_gradients(self, values: list[float]) -> None:
        """Replaces the gradients: apply() then uses these."""
        ...
    def buffers(self) -> list[float]:
        """The model's buffers of floating point as f32, one after the other in the model's order: the
        running mean and variance of batch norm, and the like. They are not parameters, but evaluation
        computes with them: when models are averaged, average them too. A model without any gives 0 bytes."""
        ...
    def set_buffers(self, values: list[float]) -> None:
        """Replaces the buffers. `bytes` is exactly their size; every value must be finite, or what the
        buffer holds already. Setting what `trainer.buffers` gave changes no bit."""
        ...
    def checkpoint(self) -> bytes:
        """The trainer's whole state (parameters, buffers, optimizer, counters) as a safetensors file.
        Gradients that were not applied are not part of it: while there are any, the result is `invalid-
        argument`, as it is for fit and epoch."""
        ...
    def restore(self, checkpoint: bytes) -> None:
        """Restores a checkpoint into a trainer of the same model and options. The run then goes on bit by
        bit as if it had not ended."""
        ...

class Process:
    @classmethod
    def group(cls) -> tuple[int, int]:
        """How many processes train together, and which of them, from 0, this one is; alone: 0 of 1. The
        guest runs in each, and makes the same calls in the same order: those that train and evaluate wait
        for the others, and their metrics are those of all. Without the owner's --shard every guest reads
        all data, gives whole batches, and each process computes its part of them. With it, each guest
        reads data of its own."""
        ...

class Run:
    @classmethod
    def config(cls, key: str) -> list[Char]:
        """What the owner's configuration of this run has under this name, as text: UTF-8, not terminated; a
        number in decimal, a truth value as true or false. Without such a name the result is `not-found`."""
        ...
    @classmethod
    def report(cls, name: str, value: float) -> None:
        """Tells the owner a figure of the guest's own under a name: a number of any kind, as often as
        100,000 times. The last under each name is the run's."""
        ...
