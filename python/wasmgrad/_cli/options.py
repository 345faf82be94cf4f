"""Options of the commands that run guests: what a guest may use, its limits, and the options of training."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .._errors import InvalidArgument
from .._training.option_table import OPTIONS, Option
from .._training.options import Limits, TrainingOptions
from .._training.step_options import STEP_OPTIONS
from .sizes import byte_size_text, memory_text, read_byte_size, read_memory, tell_old_spelling

__all__ = [
    "AdaptersOption",
    "ArgsArgument",
    "CheckpointOption",
    "ClassicOption",
    "DataOption",
    "DefaultModelOption",
    "DirOption",
    "DistributedOption",
    "EngineOption",
    "EnvOption",
    "GradientsOption",
    "InterpretOption",
    "JsonOption",
    "LogDirOption",
    "ModelOption",
    "OutputOption",
    "PeerTimeoutOption",
    "ResumeOption",
    "ShardOption",
    "SyncEveryOption",
    "TrainingGuestArgument",
    "pairs",
    "with_limits",
    "with_step_options",
    "with_training_options",
]

_MODEL, _TRAINING, _SCHEDULE, _GROUP, _FILES, _LIMITS, _VIEW, _STEP = (
    "Model and data",
    "Training",
    "Schedule",
    "Several processes",
    "Files",
    "Limits",
    "View",
    "Training step, with --train",
)


def _option(
    panel: str, help_text: str, *flags: str, metavar: str | None = None, default: str | bool = False
) -> Any:
    """`default`: how the help shows it, if at all."""
    return typer.Option(*flags, help=help_text, metavar=metavar, rich_help_panel=panel, show_default=default)


TrainingGuestArgument = Annotated[
    Path | None,
    typer.Argument(metavar="GUEST", help="A wasm file.", show_default="the packaged MNIST guest"),
]
ArgsArgument = Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="The guest's arguments.")]
ModelOption = Annotated[
    list[str] | None,
    _option(_MODEL, "A model the guest may use by name.", "--model", metavar="NAME=FILE"),
]
DefaultModelOption = Annotated[
    Path | None, _option(_MODEL, "The model of guests whose import names none.", metavar="FILE")
]
DirOption = Annotated[
    list[str] | None,
    _option(_MODEL, "A directory the guest may use.", "--dir", metavar="HOST:GUEST[:ro]"),
]
EnvOption = Annotated[
    list[str] | None,
    _option(_MODEL, "A variable of the guest's environment.", "--env", metavar="KEY=VALUE"),
]
DataOption = Annotated[
    Path | None, _option(_MODEL, "Directory with the MNIST files of the packaged guest.", metavar="DIR")
]
OutputOption = Annotated[
    Path | None,
    _option(_FILES, "The trained model.", "--output", "-o", metavar="FILE", default="trained_<model>.pt"),
]
AdaptersOption = Annotated[
    Path | None,
    _option(
        _FILES, "The trained low-rank branches (--lora), as PEFT's adapter_model.safetensors.", metavar="FILE"
    ),
]
CheckpointOption = Annotated[
    Path | None, _option(_FILES, "Written after every epoch, and kept.", metavar="FILE")
]
ResumeOption = Annotated[Path | None, _option(_FILES, "A checkpoint to go on from.", metavar="FILE")]
EngineOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="What runs the guest: wasmedge or wasmtime.", rich_help_panel=_VIEW),
]
InterpretOption = Annotated[
    bool, _option(_VIEW, "Interpret the guest in place of compiling it.", "--interpret")
]
JsonOption = Annotated[bool, _option(_VIEW, "One JSON event a line.", "--json")]
ClassicOption = Annotated[bool, _option(_VIEW, "Plain lines, step by step.", "--classic")]
DistributedOption = Annotated[
    bool,
    _option(_GROUP, "Train together with the other processes that torchrun started.", "--distributed"),
]
ShardOption = Annotated[
    bool, _option(_GROUP, "The data of each process is its own, not a part of what all have.", "--shard")
]
SyncEveryOption = Annotated[
    int,
    _option(
        _GROUP,
        "Steps of each process's own between two averages of the parameters.",
        metavar="N",
        default="1: gradients, at each step",
    ),
]
GradientsOption = Annotated[
    str,
    _option(_GROUP, "How gradients travel: f32, or bf16 in half the bytes.", metavar="NAME", default=True),
]
PeerTimeoutOption = Annotated[
    float,
    _option(_GROUP, "Seconds after which a process that does not answer is lost.", default=True),
]
LogDirOption = Annotated[
    Path | None, _option(_VIEW, "TensorBoard event files, besides the view.", metavar="DIR")
]

Read = Callable[[str, str], int]


@dataclass(frozen=True)
class _Limit:
    """An option of a limit. `old` is what version 0.1 called it, with the same numbers."""

    field: str
    flag: str
    help: str
    old: str | None = None
    read: Read | None = None  # of a text that is a number of bytes
    show: Callable[[int], str] = byte_size_text


_LIMIT_OPTIONS = (
    _Limit("memory_pages", "--memory", "Linear memory.", "--memory-pages", read_memory, memory_text),
    _Limit("wall_seconds", "--time-limit", "Seconds of the whole run; 0: none."),
    _Limit(
        "tensor_bytes",
        "--tensor-bytes",
        "Tensors, models and trainers that the host keeps for it.",
        None,
        read_byte_size,
    ),
    _Limit("open_files", "--open-files", "Files the guest may have open.", "--handles"),
    _Limit("abi_handles", "--abi-handles", "Models, datasets, trainers and the like it may have open."),
    _Limit("output_bytes", "--output-bytes", "Console output, and each file written.", None, read_byte_size),
    _Limit(
        "process_bytes",
        "--process-bytes",
        "All that the run's process allocates; 0: most of what is free.",
        None,
        read_byte_size,
    ),
    _Limit("grace_seconds", "--grace-time", "Seconds that an interrupted run has to end by itself."),
)


def pairs(option: str, values: list[str] | None) -> dict[str, str]:
    """The `NAME=VALUE` texts of an option. Errors: `InvalidArgument` with the one that is not such a text."""
    result = {}
    for text in values or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidArgument(f"{option} {text}: expected the form NAME=VALUE")
        result[name] = value
    return result


Command = Callable[..., None]


def with_limits(command: Command) -> Command:
    """Gives the command an option for every limit in place of its parameter `limits`."""
    defaults = Limits()
    parameters = []
    for limit in _LIMIT_OPTIONS:
        value = getattr(defaults, limit.field)
        option = typer.Option(
            limit.flag, help=limit.help, rich_help_panel=_LIMITS, metavar="SIZE" if limit.read else None
        )
        if limit.read is None:
            parameters.append(_keyword(limit.field, value, Annotated[type(value), option]))
        else:
            parameters.append(_keyword(limit.field, limit.show(value), Annotated[str, option]))
        if limit.old is not None:
            hidden = typer.Option(limit.old, hidden=True)
            parameters.append(_keyword(f"old_{limit.field}", None, Annotated[int | None, hidden]))
    return _expanded(command, "limits", parameters, _limits_of)


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _limits_of(given: Mapping[str, Any]) -> Limits:
    values = {}
    for limit in _LIMIT_OPTIONS:
        value, old = given[limit.field], given.get(f"old_{limit.field}")
        values[limit.field] = value if limit.read is None else limit.read(limit.flag, value)
        if limit.old is not None and old is not None:
            tell_old_spelling(limit.old, limit.flag if limit.read is None else f"{limit.flag} SIZE")
            values[limit.field] = old
    return Limits(**values)


_METAVARS: dict[Any, str] = {str: "NAME", list[float]: "N,N,...", list[str]: "TEXT"}


def with_training_options(command: Command) -> Command:
    """Gives the command an option for every row of the table in place of its parameter `options`."""
    parameters = [
        _training_option(option, _SCHEDULE if option.group in ("schedule", "early_stopping") else _TRAINING)
        for option in OPTIONS
    ]
    return _expanded(command, "options", parameters, _training_options)


def with_step_options(command: Command) -> Command:
    """Gives the command an option for every row that a compiled training step has in place of its parameter `step`."""
    rows = [option for option in OPTIONS if option.name in STEP_OPTIONS]
    return _expanded(command, "step", [_training_option(row, _STEP) for row in rows], _step_options)


def _training_option(option: Option, panel: str) -> inspect.Parameter:
    kind = (str if option.type == list[float] else option.type) | None
    shown = _option(panel, option.help, *option.flags, metavar=_METAVARS.get(option.type))
    return _keyword(option.name, None, Annotated[kind, shown])


def _training_options(given: Mapping[str, Any]) -> TrainingOptions:
    return cast(TrainingOptions, _step_options(given))


def _step_options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(given)
    for option in OPTIONS:
        value = options.get(option.name)
        if option.type == list[float] and value is not None:
            options[option.name] = _numbers(option.flags[0], value)
        if option.type == list[str] and option.name in options:
            options[option.name] = value or None  # Click gives an empty list for none
    return options


def _numbers(flag: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: expected numbers with commas between them", param_hint=flag
        ) from None


def _expanded(
    command: Command,
    name: str,
    parameters: Sequence[inspect.Parameter],
    make: Callable[[Mapping[str, Any]], Any],
) -> Command:
    """The command with several parameters in place of `name`; what `make` makes of their values is what it gets."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        values = {parameter.name: given.pop(parameter.name) for parameter in parameters}
        command(**given, **{name: make(values)})

    every: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        every += (
            parameters if parameter.name == name else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        )
    wrapped.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return wrapped
