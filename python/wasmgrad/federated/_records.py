"""A task and its answer as Flower's records: which key holds what. Both ends read and write them here alone.

The config record of a message has these keys of ours; everything else in it that is a number, a truth value or a
text is the guest's to ask for, Flower's own `server-round` and `proximal-mu` included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import InvalidArgument
from .._training.weight_files import read_tensors, write_tensors
from ._task import Task, TaskResult

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, ConfigRecord, RecordDict
    from numpy.typing import NDArray

__all__ = [
    "ARRAYS",
    "CONFIG",
    "METRICS",
    "SAMPLES",
    "array_record",
    "reply_of",
    "task_config",
    "task_of",
    "tensors_of",
]

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
SAMPLES = "num-examples"
_OURS = "wasmgrad."
_OPTION = f"{_OURS}option."


def tensors_of(arrays: ArrayRecord) -> dict[str, NDArray[Any]]:
    """The arrays by name. Errors: `InvalidArgument` for one that is none."""
    try:
        return {name: array.numpy() for name, array in arrays.items()}
    except (TypeError, ValueError, EOFError) as error:
        raise InvalidArgument(f"the message's arrays cannot be read: {error}") from None


def array_record(tensors: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """The record of so many arrays, under their names."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(value) for name, value in tensors.items()})


def task_config(
    guest: bytes | str,
    model: bytes | str,
    *,
    model_name: str = "model",
    args: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    reports: Sequence[str] = (),
) -> dict[str, Any]:
    """What a train message's config record has for the nodes.

    reports: the names of the guest's figures that come back. Nodes answer just these, and NaN for what a guest did
    not report, so that the answers can be averaged.
    """
    record: dict[str, Any] = {**(config or {})}
    for name in record:
        if name.startswith(_OURS):
            raise InvalidArgument(
                f"config: '{name}' begins as the names of wasmgrad's own; choose another one"
            )
    record |= {f"{_OURS}guest": guest, f"{_OURS}model": model, f"{_OURS}model-name": model_name}
    record |= {f"{_OURS}args": list(args), f"{_OURS}reports": list(reports)}
    return record | {_OPTION + name: value for name, value in (options or {}).items()}


def task_of(content: RecordDict) -> Task:
    """The task in a train message. Errors: `InvalidArgument`, naming what is missing."""
    arrays, config = content.array_records.get(ARRAYS), content.config_records.get(CONFIG)
    if arrays is None or config is None:
        raise InvalidArgument(f"the message lacks a record; expected '{ARRAYS}' and '{CONFIG}'")
    for name in ("guest", "model"):
        if not isinstance(config.get(_OURS + name), (bytes, str)):
            raise InvalidArgument(f"the message's config lacks '{_OURS}{name}': its bytes, or its SHA-256")
    given: dict[str, Any] = {name: config[_OURS + name] for name in ("guest", "model")}
    for key, name in {"model-name": "model_name", "args": "args"}.items():
        if _OURS + key in config:
            given[name] = config[_OURS + key]
    return Task(
        **given,
        weights=write_tensors(tensors_of(arrays)),
        options={
            key.removeprefix(_OPTION): value for key, value in config.items() if key.startswith(_OPTION)
        },
        config={
            key: value
            for key, value in config.items()
            if not key.startswith(_OURS) and isinstance(value, (bool, int, float, str))
        },
    )


def reply_of(result: TaskResult, asked: ConfigRecord | Mapping[str, Any]) -> RecordDict:
    """The records that answer a train message whose config was `asked`."""
    from flwr.app import MetricRecord, RecordDict

    wanted: Any = asked.get(f"{_OURS}reports", [])
    reports = {f"guest.{name}": result.reports.get(name, float("nan")) for name in wanted}
    metrics: dict[str, Any] = {
        SAMPLES: result.samples,
        **result.metrics,
        **(reports if result.metrics else {}),
    }
    arrays = array_record(read_tensors(result.weights))
    return RecordDict({ARRAYS: arrays, METRICS: MetricRecord(metrics)})
