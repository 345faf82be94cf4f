"""One guest run to a record: runs it, and collects its events."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from .._errors import Error, GuestExit, Interrupted, InvalidArgument, ModelWarning, error_of_kind
from .._files import scratch_directory, write_atomic
from .config import StrPath, configure
from .default import guest_with_grants
from .distributed import Distributed
from .options import LIMITS_OF_A_PROCESS, Limits, TrainingOptions
from .process import forwarding_interrupts, run_isolated
from .result import EpochMetrics, Event, GuestResult, Metrics, TrainingResult, Usage
from .weight_files import check_update, read_tensors, update_norm, weight_bytes

__all__ = ["Collector", "Sandbox", "execute", "train"]


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
    reports: dict[str, float] = field(default_factory=dict)
    metrics: Metrics | None = None

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
            case (
                "progress" | "steps" | "model_saved"
            ):  # the last alone: all was done when the run was resumed
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
        self._take_figures(event)
        self._tell(event)

    def _take_figures(self, event: Event) -> None:
        match event["event"]:
            case "epoch":
                self.metrics = Metrics.from_event(event["train"])
            case "steps":
                self.metrics = Metrics.from_event(event)
            case "report":
                value = event["value"]  # None: it was not finite
                self.reports[event["name"]] = float("nan") if value is None else value

    def _tell(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event(event)
        elif event["event"] == "warning":
            warnings.warn(event["message"], ModelWarning, stacklevel=2)

    def text(self, stream: str) -> str:
        return "".join(self.console[stream])

    def result(self, model: bytes, output: Path | None, interrupted: str | None) -> TrainingResult:
        """The result of a run that trained `model`; `interrupted` says why it ended early, if it did."""
        return TrainingResult(
            epochs=tuple(self.epochs),
            initial=self.initial,
            model=model,
            stopped_early=bool(self.fit_end.get("stopped_early")),
            interrupted=interrupted is not None,
            training_seconds=float(self.fit_end.get("seconds", 0.0)),
            seconds=float(self.end.get("seconds", 0.0)),
            peak_memory_bytes=self.end.get("peak_rss_bytes"),
            output=output if interrupted is None else None,
            checkpoint=self.checkpoint,
            stdout=self.text("stdout"),
            stderr=self.text("stderr"),
            usage=self.usage,
            best_epoch=self.fit_end.get("best_epoch"),
            best_loss=self.fit_end.get("best_loss"),
            best_restored=bool(self.fit_end.get("best_restored")),
            reason=interrupted or "",
        )


def _refuse_limits_of_the_child(limits: Mapping[str, object]) -> None:
    """Some limits are kept by the child process alone."""
    defaults = Limits().to_config()
    for key in LIMITS_OF_A_PROCESS:
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
        from .. import _core

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
    adapters: StrPath | None = None,
    checkpoint: StrPath | None = None,
    resume: StrPath | None = None,
    weights: StrPath | None = None,
    interpret: bool = False,
    engine: str | None = None,
    isolate: bool = True,
    distributed: Distributed | bool | None = None,
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
    adapters: where the trained low-rank branches are saved (option `lora`), as PEFT's adapter_model.safetensors.
    checkpoint: written after every epoch and when interrupted; `resume` restores one before the first step.
    weights: a safetensors file of parameters and buffers that the model begins with, of whatever run: optimizer,
        counters and seed are this run's own.
    engine: "wasmedge" or "wasmtime"; None is the first for a module, the second for a component. The first can also
        `interpret` the guest.
    isolate: run in a child process, where a crash or a limit cannot touch this one. Without it the guest's
        console output goes to this process's own, and the limits that need an isolated run are refused.
    distributed: train together with the other processes that torchrun started: True, or a `Distributed`. All
        run the same guest. The first writes `output`, `adapters` and `checkpoint`; the result's model is empty in
        the others. Started anew by torchrun, they go on from `checkpoint`.
    on_event: called with each event while the run goes on; what it raises ends the run.
    options: see `TrainingOptions`; each replaces the guest's own choice.

    Ctrl-C ends the run after the current step; the result then says `interrupted`, and its model is the one
    after that step. `output` is left as it was then.
    Errors: a subclass of `Error`; `GuestExit` when the guest ends with a non-zero exit code;
    `InvalidArgument` when it never trained; `PeerLost` when another process of a distributed training was lost.
    """
    with scratch_directory() as scratch:
        saved = scratch / "model.pt" if output is None else Path(output)
        partial = scratch / "interrupted.pt"
        guest, grants = guest_with_grants(guest, data, {"args": args, "dirs": dirs, "models": models})
        paths: dict[str, Any] = {"checkpoint": checkpoint, "resume": resume, "interrupted_output": partial}
        paths |= {"adapters": adapters, "weights": weights}
        how: dict[str, Any] = {"interpret": interpret, "engine": engine, "env": env, "limits": limits}
        how |= {"default_model": default_model, "options": options, "output": saved}
        how["distributed"] = distributed
        config = configure(guest, **grants, **paths, **how)
        collector = Collector(on_event)
        reason = _train(config, collector, isolate)
        trained = saved if reason is None else partial
        model = trained.read_bytes() if trained.exists() else b""
    return collector.result(model, None if output is None else Path(output), reason)


def _train(config: Mapping[str, Any], collector: Collector, isolate: bool) -> str | None:
    """Runs a guest that must train. Why it was interrupted after it had begun to; None: it was not."""
    name = os.path.basename(config["guest"])
    try:
        code = execute(config, collector, isolate=isolate)
    except Interrupted as error:
        if not collector.trained:
            raise
        return error.message
    if code != 0:
        message = f"{name}: the guest ended with exit code {code}"
        raise GuestExit(message, code, collector.text("stdout"), collector.text("stderr"))
    if not collector.trained:
        raise InvalidArgument(
            f"{name}: the guest ended without having trained: it called no training import, or kept no step"
        )
    return None


class Sandbox:
    """Any guest, with what it may use. Nothing runs before `run`, and every run starts afresh.

    The arguments are those of `train`.
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
        engine: str | None = None,
    ) -> None:
        self._isolate = isolate
        self._grants: dict[str, Any] = {
            "guest": guest,
            "args": args,
            "dirs": dirs,
            "models": models,
            "default_model": default_model,
            "env": env,
            "limits": limits,
            "interpret": interpret,
            "engine": engine,
        }
        configure(**self._grants)  # what is wrong with them is said at once

    def run(
        self,
        *,
        weights: str | Path | bytes | Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        on_event: Callable[[Event], None] | None = None,
        **options: Unpack[TrainingOptions],
    ) -> GuestResult:
        """Runs the guest's `_start` to its end.

        weights: what every model of the guest begins to train with, whatever the guest loaded: parameters and
            buffers as a safetensors file, its path, or by name. The host puts them in, and takes those of the model
            that was trained last out when the guest has ended: the result has them. Optimizer and counters begin anew.
        config: numbers, truth values and texts that the guest may ask for by name (`run_config`) and not change.
        options: see `TrainingOptions`; each replaces the guest's own choice.

        Errors: a subclass of `Error` when something else than the guest ended it: a trap, a limit, a refused
        module, weights that do not fit its model, and, with weights, what it trained is another model or not
        finite (`RuntimeFailure`). A non-zero exit code is a result. `Interrupted` after Ctrl-C.
        """
        collector = Collector(on_event)
        chosen = configure(options=options, guest_config=config, **self._grants)
        if weights is None:
            return _guest_result(execute(chosen, collector, isolate=self._isolate), collector)
        before = weight_bytes(weights)
        tensors = read_tensors(before)
        with scratch_directory() as scratch:
            given, trained = scratch / "given.safetensors", scratch / "trained.safetensors"
            write_atomic(given, before)
            chosen |= {"weights": str(given), "weights_output": str(trained)}
            result = _guest_result(execute(chosen, collector, isolate=self._isolate), collector)
            if not trained.exists():
                return result
            after = trained.read_bytes()
        moved = read_tensors(after, "the trained weights")
        check_update(tensors, moved, os.path.basename(chosen["guest"]))
        return replace(result, weights=after, update_norm=update_norm(tensors, moved))


def _guest_result(code: int, collector: Collector) -> GuestResult:
    return GuestResult(
        exit_code=code,
        stdout=collector.text("stdout"),
        stderr=collector.text("stderr"),
        seconds=float(collector.end.get("seconds", 0.0)),
        peak_memory_bytes=collector.end.get("peak_rss_bytes"),
        usage=collector.usage,
        reports=collector.reports,
        metrics=collector.metrics,
    )
