"""One guest run from Python's arguments to a record: builds the configuration, collects the events."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from ._default import add_default_guest
from ._errors import Error, GuestExit, Interrupted, InvalidArgument, error_of_kind
from ._files import cache_dir
from ._options import Limits, TrainingOptions, set_options
from ._process import forwarding_interrupts, run_isolated
from ._result import EpochMetrics, Event, GuestResult, Metrics, TrainingResult, Usage

__all__ = ["Collector", "Sandbox", "configure", "execute", "train"]

StrPath = str | os.PathLike[str]

_GUEST_ENGINES = ("wasmedge", "wasmtime")


def configure(
    guest: StrPath,
    *,
    args: Sequence[str] = (),
    dirs: Sequence[str] = (),
    models: Mapping[str, StrPath] | None = None,
    default_model: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    options: TrainingOptions | None = None,
    output: StrPath | None = None,
    checkpoint: StrPath | None = None,
    resume: StrPath | None = None,
    interrupted_output: StrPath | None = None,
    interpret: bool = False,
    view: str = "json",
) -> dict[str, Any]:
    """The run configuration that the native tools read, with host paths made absolute."""
    config: dict[str, Any] = {
        "guest": os.path.abspath(guest),
        "args": list(args),
        "env": [f"{key}={value}" for key, value in (env or {}).items()],
        "dirs": [_preopen(text) for text in dirs],
        "models": {name: os.path.abspath(file) for name, file in (models or {}).items()},
        "training": set_options(options or {}),
        "limits": (limits or Limits()).to_config(),
        "interpret": interpret,
        "cache_dir": str(cache_dir() / "guests"),
        "view": view,
    }
    optional = {
        "default_model": default_model,
        "output": output,
        "checkpoint": checkpoint,
        "resume": resume,
        "interrupted_output": interrupted_output,
    }
    config.update({key: os.path.abspath(path) for key, path in optional.items() if path is not None})
    return config


def _preopen(text: str) -> dict[str, object]:
    """A directory's text, "HOST:GUEST[:ro]" or "DIR", as the configuration has it."""
    host, *rest = text.split(":")
    if len(rest) > 2 or rest[1:] not in ([], ["ro"]) or not all((host, *rest)):
        raise InvalidArgument(f"directory {text!r}: expected HOST:GUEST or HOST:GUEST:ro")
    guest = rest[0] if rest else host
    return {"host": os.path.abspath(host), "guest": guest, "read_only": len(rest) == 2}


@dataclass
class Collector:
    """Gathers the events of one run, and passes each on to the caller."""

    on_event: Callable[[Event], None] | None = None
    epochs: list[EpochMetrics] = field(default_factory=list)
    initial: Metrics | None = None
    checkpoint: Path | None = None
    error: Error | None = None
    guest_exit: int | None = None
    console: dict[str, list[str]] = field(default_factory=lambda: {"stdout": [], "stderr": []})
    fit_end: Event = field(default_factory=dict)
    end: Event = field(default_factory=dict)
    usage: Usage | None = None
    trained: bool = False

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "fit":
                self.trained = True
                self.epochs.clear()
            case "initial":
                self.initial = Metrics.from_event(event)
            case "epoch":
                self.trained = True
                self.epochs.append(EpochMetrics.from_event(event))
            case "steps" | "model_saved":  # the latter alone: all was done when the run was resumed
                self.trained = True
            case "checkpoint":
                self.checkpoint = Path(event["path"])
            case "fit_end":
                self.fit_end = event
            case "console":
                self.console[event["stream"]].append(event["text"])
            case "error" if event["kind"] == GuestExit.kind:
                self.guest_exit = event["exit_code"]  # an error on the command line; here it is a result
            case "error":
                self.error = error_of_kind(event["kind"], event["message"])
            case "usage":
                self.usage = Usage.from_event(event)
            case "end":
                self.end = event
        if self.on_event is not None:
            self.on_event(event)

    def text(self, stream: str) -> str:
        return "".join(self.console[stream])


def _refuse_limits_of_the_child(limits: Mapping[str, object]) -> None:
    """Some limits are kept by the child process alone."""
    defaults = Limits().to_config()
    for key in ("wall_seconds", "handles", "output_bytes", "process_bytes"):
        if limits[key] != defaults[key]:
            raise InvalidArgument(
                f"limits.{key} needs an isolated run; expected isolate=True, or no such limit"
            )


def execute(config: Mapping[str, Any], collector: Collector, *, isolate: bool = True) -> int:
    """Runs `config` and returns the guest's exit code.

    Errors: whatever ended the run in place of the guest.
    """
    if isolate:
        code = run_isolated(config, collector)
    else:
        _refuse_limits_of_the_child(config["limits"])
        from . import _core

        stop = _core.StopToken()
        with forwarding_interrupts(stop.request):
            code, seconds = _core.run(json.dumps(config), collector, stop)
        collector.end = {"seconds": seconds}
    if collector.error is not None:
        raise collector.error
    return code if collector.guest_exit is None else collector.guest_exit


def train(
    guest: StrPath | None = None,
    *,
    args: Sequence[str] = (),
    dirs: Sequence[str] = (),
    models: Mapping[str, StrPath] | None = None,
    default_model: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    data: StrPath | None = None,
    limits: Limits | None = None,
    output: StrPath | None = None,
    checkpoint: StrPath | None = None,
    resume: StrPath | None = None,
    interpret: bool = False,
    isolate: bool = True,
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[TrainingOptions],
) -> TrainingResult:
    """Runs a guest that trains, and returns what it trained.

    guest: a wasm file; None takes the packaged MNIST guest, with the MNIST files of `data` (or those found)
        and `mnist-cnn` where `models` names no other. `args` follow the guest's name, `env` is its whole
        environment.
    dirs: directories the guest may use, each "HOST:GUEST" or "HOST:GUEST:ro".
    models: name -> model file (TorchScript or torch.export), for guests that ask by name; `default_model` is
        for guests whose import has no name.
    output: where the trained model is saved. The result holds its bytes either way.
    checkpoint: written after every epoch and when interrupted; `resume` restores one before the first step.
    isolate: run in a child process, where a crash or a limit cannot touch this one. Without it the guest's
        console output goes to this process's own, and no time limit can be set.
    on_event: called with each event while the run goes on; what it raises ends the run.
    options: see `TrainingOptions`; each replaces the guest's own choice.

    Ctrl-C ends the run after the current step; the result then says `interrupted`, and its model is the one
    after that step. `output` is left as it was then.
    Errors: a subclass of `Error`; `GuestExit` when the guest ends with a non-zero exit code;
    `InvalidArgument` when it never trained.
    """
    with tempfile.TemporaryDirectory(prefix="wasmgrad-") as scratch:
        saved = Path(scratch) / "model.pt" if output is None else Path(output)
        partial = Path(scratch) / "interrupted.pt"
        settings: dict[str, Any] = {"args": args, "dirs": dirs, "models": models}
        if guest is None:
            guest, settings = add_default_guest(data=data, **settings)
        elif data is not None:
            raise InvalidArgument(
                "data: names the MNIST files of the packaged guest; give another guest its own dirs"
            )
        config = configure(
            guest,
            **settings,
            default_model=default_model,
            env=env,
            limits=limits,
            options=options,
            output=saved,
            checkpoint=checkpoint,
            resume=resume,
            interrupted_output=partial,
            interpret=interpret,
        )
        collector = Collector(on_event)
        interrupted, reason = False, ""
        try:
            code = execute(config, collector, isolate=isolate)
        except Interrupted as error:
            if not collector.trained:
                raise
            code, interrupted, reason = 0, True, error.message
        if code != 0:
            message = f"{os.path.basename(guest)}: the guest ended with exit code {code}"
            raise GuestExit(message, code, collector.text("stdout"), collector.text("stderr"))
        if not collector.trained:
            raise InvalidArgument(
                f"{os.path.basename(guest)}: the guest ended without having called a training import"
            )
        trained = partial if interrupted else saved
        model = trained.read_bytes() if trained.exists() else b""
    return TrainingResult(
        epochs=tuple(collector.epochs),
        initial=collector.initial,
        model=model,
        stopped_early=bool(collector.fit_end.get("stopped_early")),
        interrupted=interrupted,
        training_seconds=float(collector.fit_end.get("seconds", 0.0)),
        seconds=float(collector.end.get("seconds", 0.0)),
        peak_memory_bytes=collector.end.get("peak_rss_bytes"),
        output=None if output is None or interrupted else Path(output),
        checkpoint=collector.checkpoint,
        stdout=collector.text("stdout"),
        stderr=collector.text("stderr"),
        usage=collector.usage,
        best_epoch=collector.fit_end.get("best_epoch"),
        best_loss=collector.fit_end.get("best_loss"),
        best_restored=bool(collector.fit_end.get("best_restored")),
        reason=reason,
    )


class Sandbox:
    """Any guest, with what it may use. Nothing runs before `run`, and every run starts afresh.

    engine: "wasmedge", or "wasmtime", which always runs in this process. The other arguments are those of `train`.
    """

    def __init__(
        self,
        guest: StrPath,
        *,
        args: Sequence[str] = (),
        dirs: Sequence[str] = (),
        models: Mapping[str, StrPath] | None = None,
        default_model: StrPath | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        interpret: bool = False,
        isolate: bool = True,
        engine: str = "wasmedge",
    ) -> None:
        if engine not in _GUEST_ENGINES:
            raise InvalidArgument(f"engine {engine!r}: expected one of {', '.join(_GUEST_ENGINES)}")
        self._isolate = isolate
        self._engine = engine
        self._config = configure(
            guest,
            args=args,
            dirs=dirs,
            models=models,
            default_model=default_model,
            env=env,
            limits=limits,
            interpret=interpret,
        )

    def run(self, *, on_event: Callable[[Event], None] | None = None) -> GuestResult:
        """Runs the guest's `_start` to its end.

        Errors: a subclass of `Error` when something else than the guest ended it: a trap, a limit, a refused
        module. A non-zero exit code is a result. `Interrupted` after Ctrl-C.
        """
        collector = Collector(on_event)
        if self._engine == "wasmtime":
            from ._engines._wasmtime_host import run

            code = run(self._config, collector)
        else:
            code = execute(self._config, collector, isolate=self._isolate)
        return GuestResult(
            exit_code=code,
            stdout=collector.text("stdout"),
            stderr=collector.text("stderr"),
            seconds=float(collector.end.get("seconds", 0.0)),
            peak_memory_bytes=collector.end.get("peak_rss_bytes"),
            usage=collector.usage,
        )
