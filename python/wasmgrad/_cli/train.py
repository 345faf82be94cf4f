"""`wasmgrad train`: options to a run configuration, one of three views, and what to say at the end."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .._errors import GuestExit, Interrupted, InvalidArgument
from .._training.option_table import OPTIONS
from .._training.options import Limits, TrainingOptions
from .._training.result import Event

if TYPE_CHECKING:
    from .._training.run import Collector

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


EngineOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="What runs the guest: wasmedge or wasmtime.", rich_help_panel=_VIEW),
]


def _limit(help_text: str) -> Any:
    return typer.Option(help=help_text, rich_help_panel=_LIMITS)


MemoryPagesOption = Annotated[int, _limit("Linear memory, pages of 64 KiB.")]
TimeLimitOption = Annotated[float, _limit("Seconds of the whole run; 0: none.")]
TensorBytesOption = Annotated[int, _limit("Host copies of tensors.")]
HandlesOption = Annotated[int, _limit("Files the guest may have open.")]
OutputBytesOption = Annotated[int, _limit("Console output, and each file written.")]
ProcessBytesOption = Annotated[int, _limit("All that the run's process allocates; 0: most of what is free.")]
GraceTimeOption = Annotated[float, _limit("Seconds that an interrupted run has to end by itself.")]


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


def _with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the command a parameter for every option of the table; it gets those that have a value as `options`."""
    extra = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                option.type | None,
                typer.Option(
                    *option.flags,
                    help=option.help,
                    metavar="NAME" if option.type is str else None,
                    rich_help_panel=_SCHEDULE
                    if option.group in ("schedule", "early_stopping")
                    else _TRAINING,
                    show_default=False,
                ),
            ],
        )
        for option in OPTIONS
    ]
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    place = next(i for i, parameter in enumerate(own) if parameter.name == "output")

    @functools.wraps(command)
    def wrapped(*args: Any, **given: Any) -> None:
        options = {option.name: given.pop(option.name) for option in OPTIONS}
        command(*args, options=cast(TrainingOptions, options), **given)

    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own[:place], *extra, *own[place:])
    ]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


@_with_training_options
def train(
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
    memory_pages: MemoryPagesOption = _D.memory_pages,
    time_limit: TimeLimitOption = _D.wall_seconds,
    tensor_bytes: TensorBytesOption = _D.tensor_bytes,
    handles: HandlesOption = _D.handles,
    output_bytes: OutputBytesOption = _D.output_bytes,
    process_bytes: ProcessBytesOption = _D.process_bytes,
    grace_time: GraceTimeOption = _D.grace_seconds,
    engine: EngineOption = "wasmedge",
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
    *,
    options: TrainingOptions,
) -> None:
    """Train a model from inside a guest.

    Without GUEST: the packaged guest trains the model mnist-cnn on MNIST. What follows GUEST is passed to the
    guest.
    """
    from .._training.default import DEFAULT_MODEL, add_default_guest
    from .._training.run import configure

    if json and classic:
        raise InvalidArgument("--json and --classic: choose one view")
    if classic and log_dir is not None:
        raise InvalidArgument("--classic and --log-dir: plain lines leave no events to log; choose one")
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
            grace_seconds=grace_time,
        ),
        options=options,
        output=output,
        checkpoint=kept,
        resume=resume,
        interpret=interpret,
        engine=engine,
        view="json" if json or not classic else "classic",
    )
    before = _stamp(kept)
    with ExitStack() as stack:
        log = None
        if log_dir is not None:
            from .._training.tensorboard import TensorBoardLog

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
    from .._training.process import run_isolated, run_to_terminal

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

    from .._training.run import Collector, execute
    from .view import RichView

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
