"""`wasmgrad train`: options to a run configuration, one of three views, and what to say at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .._errors import GuestExit, Interrupted, InvalidArgument
from .._training.options import Limits, TrainingOptions
from .._training.result import Event
from . import options as given

if TYPE_CHECKING:
    from .._training.run import Collector

__all__ = ["train"]


@given.with_limits
@given.with_training_options
def train(
    guest: given.TrainingGuestArgument = None,
    args: given.ArgsArgument = None,
    model: given.ModelOption = None,
    default_model: given.DefaultModelOption = None,
    directory: given.DirOption = None,
    env: given.EnvOption = None,
    data: given.DataOption = None,
    *,
    options: TrainingOptions,
    output: given.OutputOption = None,
    adapters: given.AdaptersOption = None,
    checkpoint: given.CheckpointOption = None,
    resume: given.ResumeOption = None,
    weights: given.WeightsOption = None,
    distributed: given.DistributedOption = False,
    shard: given.ShardOption = False,
    sync_every: given.SyncEveryOption = 1,
    gradients: given.GradientsOption = "f32",
    peer_timeout: given.PeerTimeoutOption = 60.0,
    limits: Limits,
    engine: given.EngineOption = None,
    interpret: given.InterpretOption = False,
    json: given.JsonOption = False,
    classic: given.ClassicOption = False,
    log_dir: given.LogDirOption = None,
) -> None:
    """Train a model from inside a guest.

    Without GUEST: the packaged guest trains mnist-cnn on MNIST. What follows GUEST is passed to the guest.
    """
    from .._training.config import configure
    from .._training.default import guest_with_grants
    from .._training.distributed import Distributed, is_first

    _check_views(json, classic, log_dir)
    # The packaged guest sends floats to the plain lines, as it always has.
    arguments = ["--f32"] if guest is None and classic else args or []
    models = given.pairs("--model", model)
    grants: dict[str, Any] = {"args": arguments, "dirs": directory or [], "models": models}
    program, grants = guest_with_grants(guest, data, grants, spelled=("--data", "--dir"))
    output = output or _usual_output(grants["models"], default_model)
    kept = checkpoint or Path((output or Path("trained")).stem + ".ckpt.safetensors")
    how = Distributed(shard=shard, sync_every=sync_every, gradients=gradients, peer_timeout=peer_timeout)
    if not distributed and how != Distributed():
        raise InvalidArgument("--shard, --sync-every, --gradients and --peer-timeout go with --distributed")
    first = not distributed or is_first()
    config = configure(
        program,
        **grants,
        distributed=how if distributed else None,
        default_model=default_model,
        env=given.pairs("--env", env),
        limits=limits,
        options=options,
        output=output,
        adapters=adapters,
        checkpoint=kept,
        resume=resume,
        weights=weights,
        interpret=interpret,
        engine=engine,
        view="classic" if classic else "json" if first else "quiet",
    )
    before = _stamp(kept)
    code, interrupted = _run(config, program, log_dir if first else None, plain=json or classic or not first)
    if interrupted and first:
        # A file of an earlier run says nothing about this one.
        _say_how_to_go_on(kept if _stamp(kept) != before else resume, len(args or []))
    if code != 0 or interrupted:
        raise typer.Exit(130 if interrupted else code)
    if checkpoint is None and first:
        kept.unlink(missing_ok=True)


def _check_views(json: bool, classic: bool, log_dir: Path | None) -> None:
    if json and classic:
        raise InvalidArgument("--json and --classic: choose one view")
    if classic and log_dir is not None:
        raise InvalidArgument("--classic and --log-dir: plain lines leave no events to log; choose one")


def _usual_output(models: dict[str, Any], default_model: Path | None) -> Path | None:
    """Named after the model; None for a guest without one."""
    from .._training.default import DEFAULT_MODEL

    if not models and default_model is None:
        return None
    name = next(iter(models)) if models else str(default_model)
    return Path(f"trained_{Path(name).stem or DEFAULT_MODEL}.pt")


def _run(config: dict[str, Any], guest: Path, log_dir: Path | None, plain: bool) -> tuple[int, bool]:
    """The exit code, and whether the run was interrupted."""
    with ExitStack() as stack:
        log = None
        if log_dir is not None:
            from .._training.tensorboard import TensorBoardLog

            log = stack.enter_context(TensorBoardLog(log_dir))
        return _plain(config, log) if plain else _rich(config, guest, log)


def _say_how_to_go_on(checkpoint: Path | None, guest_arguments: int) -> None:
    if checkpoint is None:
        message = "interrupted before the first step; there is nothing to go on from"
    else:
        message = f"interrupted; go on with: {_resume_command(checkpoint, guest_arguments)}"
    print(f"wasmgrad: {message}", file=sys.stderr)


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
