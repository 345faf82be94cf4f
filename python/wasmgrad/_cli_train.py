"""`wasmgrad train`: options to a run configuration, one of three views, and what to say at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ._errors import GuestExit, Interrupted, InvalidArgument
from ._options import Limits, Loss, Optimizer, Schedule, TrainingOptions
from ._result import Event

if TYPE_CHECKING:
    from ._run import Collector

__all__ = ["DirOption", "EnvOption", "ModelOption", "pairs", "train"]

_MODEL, _TRAINING, _SCHEDULE, _FILES, _LIMITS, _VIEW = (
    "Model and data",
    "Training",
    "Schedule",
    "Files",
    "Limits",
    "View",
)
_D = Limits()

ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME=FILE", help="A model the guest may use by name.", rich_help_panel=_MODEL
    ),
]
DirOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dir", metavar="HOST:GUEST[:ro]", help="A directory the guest may use.", rich_help_panel=_MODEL
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env", metavar="KEY=VALUE", help="A variable of the guest's environment.", rich_help_panel=_MODEL
    ),
]


def pairs(option: str, values: list[str] | None) -> dict[str, str]:
    """The `NAME=VALUE` texts of an option. Errors: `InvalidArgument` with the one that is not such a text."""
    result = {}
    for text in values or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidArgument(f"{option} {text}: expected the form NAME=VALUE")
        result[name] = value
    return result


def _option(panel: str, help_text: str, metavar: str | None = None) -> Any:
    return typer.Option(help=help_text, metavar=metavar, rich_help_panel=panel, show_default=False)


def _choice(panel: str, help_text: str, values: object) -> Any:
    return _option(panel, f"{help_text}: {', '.join(get_args(values))}.", "NAME")


def train(
    context: typer.Context,
    guest: Annotated[
        Path | None,
        typer.Argument(metavar="[GUEST]", help="A wasm file.  [default: the packaged MNIST guest]"),
    ] = None,
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="The guest's arguments.")
    ] = None,
    model: ModelOption = None,
    default_model: Annotated[
        Path | None, _option(_MODEL, "The model of guests whose import names none.", "FILE")
    ] = None,
    directory: DirOption = None,
    env: EnvOption = None,
    data: Annotated[
        Path | None, _option(_MODEL, "Directory with the MNIST files of the packaged guest.", "DIR")
    ] = None,
    epochs: Annotated[int | None, _option(_TRAINING, "Passes over the training set.")] = None,
    batch_size: Annotated[int | None, _option(_TRAINING, "Samples a step.")] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", "--learning-rate", help="Step size.", rich_help_panel=_TRAINING)
    ] = None,
    optimizer: Annotated[str | None, _choice(_TRAINING, "Update rule", Optimizer)] = None,
    loss: Annotated[str | None, _choice(_TRAINING, "Loss function", Loss)] = None,
    seed: Annotated[int | None, _option(_TRAINING, "Of order and dropout.")] = None,
    threads: Annotated[int | None, _option(_TRAINING, "Threads of the training host; 0 for all.")] = None,
    batches_per_epoch: Annotated[int | None, _option(_TRAINING, "Steps an epoch, in place of all.")] = None,
    shuffle: Annotated[
        bool | None,
        typer.Option(
            "--shuffle/--no-shuffle",
            help="A new order each epoch.",
            rich_help_panel=_TRAINING,
            show_default=False,
        ),
    ] = None,
    weight_decay: Annotated[float | None, _option(_TRAINING, "L2 penalty; decoupled for adamw.")] = None,
    momentum: Annotated[float | None, _option(_TRAINING, "Of sgd and rmsprop.")] = None,
    nesterov: Annotated[
        bool | None,
        typer.Option(
            "--nesterov/--no-nesterov",
            help="Of sgd with momentum.",
            rich_help_panel=_TRAINING,
            show_default=False,
        ),
    ] = None,
    beta1: Annotated[float | None, _option(_TRAINING, "Of adam and adamw.")] = None,
    beta2: Annotated[float | None, _option(_TRAINING, "Of adam and adamw.")] = None,
    epsilon: Annotated[float | None, _option(_TRAINING, "Of adam, adamw and rmsprop.")] = None,
    alpha: Annotated[float | None, _option(_TRAINING, "Smoothing of rmsprop.")] = None,
    clip_norm: Annotated[
        float | None, _option(_TRAINING, "Largest L2 norm of all gradients together.")
    ] = None,
    clip_value: Annotated[float | None, _option(_TRAINING, "Largest absolute gradient element.")] = None,
    top_k: Annotated[int | None, _option(_TRAINING, "k of the second accuracy.")] = None,
    input_scale: Annotated[float | None, _option(_TRAINING, "Inputs become x * scale + offset.")] = None,
    input_offset: Annotated[float | None, _option(_TRAINING, "See --input-scale.")] = None,
    schedule: Annotated[str | None, _choice(_SCHEDULE, "Learning rate over time", Schedule)] = None,
    warmup_epochs: Annotated[int | None, _option(_SCHEDULE, "Epochs of linear warm-up.")] = None,
    step_epochs: Annotated[int | None, _option(_SCHEDULE, "step: epochs between two steps.")] = None,
    gamma: Annotated[float | None, _option(_SCHEDULE, "step: factor of each step.")] = None,
    minimum_factor: Annotated[float | None, _option(_SCHEDULE, "cosine: factor reached at the end.")] = None,
    early_stopping_patience: Annotated[
        int | None,
        typer.Option(
            "--early-stopping-patience",
            "--early-stopping",
            help="Epochs without improvement before stopping.",
            rich_help_panel=_SCHEDULE,
            show_default=False,
        ),
    ] = None,
    early_stopping_min_delta: Annotated[
        float | None, _option(_SCHEDULE, "What counts as an improvement.")
    ] = None,
    early_stopping_restore_best: Annotated[
        bool | None,
        typer.Option(
            "--early-stopping-restore-best/--no-early-stopping-restore-best",
            help="Stopped early, end with the best epoch's weights.  [default: yes]",
            rich_help_panel=_SCHEDULE,
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The trained model.  [default: trained_<model>.pt]",
            rich_help_panel=_FILES,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, _option(_FILES, "Written after every epoch, and kept.", "FILE")
    ] = None,
    resume: Annotated[Path | None, _option(_FILES, "A checkpoint to go on from.", "FILE")] = None,
    memory_pages: Annotated[
        int, typer.Option(help="Linear memory, pages of 64 KiB.", rich_help_panel=_LIMITS)
    ] = _D.memory_pages,
    time_limit: Annotated[
        float, typer.Option(help="Seconds of the whole run; 0: none.", rich_help_panel=_LIMITS)
    ] = _D.wall_seconds,
    tensor_bytes: Annotated[
        int, typer.Option(help="Host copies of tensors.", rich_help_panel=_LIMITS)
    ] = _D.tensor_bytes,
    handles: Annotated[
        int, typer.Option(help="Files the guest may have open.", rich_help_panel=_LIMITS)
    ] = _D.handles,
    output_bytes: Annotated[
        int, typer.Option(help="Console output, and each file written.", rich_help_panel=_LIMITS)
    ] = _D.output_bytes,
    process_bytes: Annotated[
        int,
        typer.Option(
            help="All that the run's process allocates; 0: most of what is free.", rich_help_panel=_LIMITS
        ),
    ] = _D.process_bytes,
    interpret: Annotated[
        bool,
        typer.Option(
            "--interpret", help="Interpret the guest in place of compiling it.", rich_help_panel=_VIEW
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON event a line.", rich_help_panel=_VIEW)
    ] = False,
    classic: Annotated[
        bool, typer.Option("--classic", help="Plain lines, step by step.", rich_help_panel=_VIEW)
    ] = False,
    log_dir: Annotated[
        Path | None, _option(_VIEW, "TensorBoard event files, besides the view.", "DIR")
    ] = None,
) -> None:
    """Train a model from inside a guest.

    Without GUEST: the packaged guest trains the model mnist-cnn on MNIST. What follows GUEST is passed to the
    guest.
    """
    from ._default import DEFAULT_MODEL, add_default_guest
    from ._run import configure

    if json and classic:
        raise InvalidArgument("--json and --classic: choose one view")
    if classic and log_dir is not None:
        raise InvalidArgument("--classic and --log-dir: plain lines leave no events to log; choose one")
    given = context.params
    options = {key: given[key] for key in TrainingOptions.__annotations__ if key in given} | {
        "learning_rate": lr
    }
    models = pairs("--model", model)
    settings: dict[str, Any] = {"args": args or [], "dirs": directory or [], "models": models}
    if guest is None:
        if classic:
            settings["args"] = ["--f32"]  # whose pixels are floats, as the plain lines have always shown
        guest, settings = add_default_guest(data=data, **settings)
    elif data is not None:
        raise InvalidArgument(
            "--data: names the MNIST files of the packaged guest; give another guest its own --dir"
        )
    if output is None and (settings["models"] or default_model):
        name = next(iter(settings["models"])) if settings["models"] else str(default_model)
        output = Path(f"trained_{Path(name).stem or DEFAULT_MODEL}.pt")
    kept = (
        checkpoint if checkpoint is not None else Path((output or Path("trained")).stem + ".ckpt.safetensors")
    )
    config = configure(
        guest,
        **settings,
        default_model=default_model,
        env=pairs("--env", env),
        limits=Limits(
            memory_pages=memory_pages,
            wall_seconds=time_limit,
            tensor_bytes=tensor_bytes,
            handles=handles,
            output_bytes=output_bytes,
            process_bytes=process_bytes,
        ),
        options=cast(TrainingOptions, options),
        output=output,
        checkpoint=kept,
        resume=resume,
        interpret=interpret,
        view="json" if json or not classic else "classic",
    )
    before = _stamp(kept)
    with ExitStack() as stack:
        log = None
        if log_dir is not None:
            from ._tensorboard import TensorBoardLog

            log = stack.enter_context(TensorBoardLog(log_dir))
        code, interrupted = _plain(config, log) if json or classic else _rich(config, guest, log)
    if interrupted:
        # A file of an earlier run says nothing about this one.
        going_on = kept if _stamp(kept) != before else resume
        if going_on is not None:
            command = _resume_command(going_on, len(args or []))
            print(f"wasmgrad: interrupted; go on with: {command}", file=sys.stderr)
        else:
            print(
                "wasmgrad: interrupted before the first step; there is nothing to go on from", file=sys.stderr
            )
        raise typer.Exit(130)
    if code != 0:
        raise typer.Exit(code)
    if checkpoint is None:
        kept.unlink(missing_ok=True)


def _stamp(file: Path) -> tuple[int, int] | None:
    """What differs when a file is written anew; None: there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _plain(config: dict[str, Any], log: Callable[[Event], None] | None) -> tuple[int, bool]:
    from ._process import run_isolated, run_to_terminal

    if log is None:
        code = run_to_terminal(config)
    else:

        def show(event: Event) -> None:
            print(dumps(event, separators=(",", ":"), ensure_ascii=False), flush=True)
            log(event)

        code = run_isolated(config, show)
    return code, code == 130


def _rich(config: dict[str, Any], guest: Path, log: Callable[[Event], None] | None) -> tuple[int, bool]:
    from rich.console import Console

    from ._run import Collector, execute
    from ._view import RichView

    console = Console()
    saved: list[str] = []
    with RichView(console) as view:

        def show(event: Any) -> None:
            view(event)
            if event["event"] == "model_saved":
                saved.append(f"{event['path']} ({event['bytes']:,} bytes)")
            if log is not None:
                log(event)

        collector = Collector(show)
        try:
            code = execute(config, collector)
        except Interrupted as error:
            code, interrupted = 130, True
            view.note(error.message)
        else:
            interrupted = False
    if code != 0 and not interrupted:
        raise GuestExit(f"{guest}: the guest ended with exit code {code}", code)
    if collector.epochs:
        console.print(view.table())
        console.print(_summary(collector, saved), highlight=False, markup=False, soft_wrap=True)
    return code, interrupted


def _summary(run: Collector, saved: list[str]) -> str:
    parts = [f"{run.end['seconds']:.1f} s"] if run.end.get("seconds") is not None else []
    if run.usage is not None:
        parts.append(f"of which guest {run.usage.guest_seconds:.1f} s")
    if run.end.get("peak_rss_bytes"):
        parts.append(f"peak memory {run.end['peak_rss_bytes'] / 2**20:,.0f} MiB")
    if run.usage is not None:
        memory = run.usage.guest_memory_bytes / 2**20, run.usage.host_bytes / 2**20
        parts.append("guest {:,.0f} MiB, data and model {:,.0f} MiB".format(*memory))
    return "\n".join([", ".join(parts), *(f"saved {path}" for path in saved)])


def _resume_command(checkpoint: Path, guest_arguments: int) -> str:
    """This command with `--resume`. The last words belong to the guest, whatever they look like."""
    end = len(sys.argv) - guest_arguments
    words = iter(sys.argv[2:end])
    rest = []
    for word in words:
        if word == "--resume":
            next(words, None)
        elif not word.startswith("--resume="):
            rest.append(word)
    return shlex.join(["wasmgrad", "train", "--resume", str(checkpoint), *rest, *sys.argv[end:]])
