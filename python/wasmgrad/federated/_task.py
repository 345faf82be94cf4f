"""One task of a federation on one node: a guest trains given weights on the node's data, under the node's policy.

It knows no transport: Flower's, NVFLARE's or another's message becomes a `Task`, and a `TaskResult` the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import GuestExit, InvalidArgument, RuntimeFailure, TooLarge
from .._files import scratch_directory, write_atomic
from .._training.result import GuestResult
from .._training.run import Sandbox
from .._training.weight_files import read_tensors, write_tensors
from ._policy import Policy
from ._privacy import bounded, check_budget, spend

__all__ = ["Task", "TaskResult", "run_task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a node is asked to do."""

    guest: bytes | str
    """A wasm module, or its SHA-256 in hexadecimal."""
    model: bytes | str
    """TorchScript or a torch.export program, or its SHA-256."""
    weights: bytes
    """Parameters and buffers to begin with, as a safetensors file."""
    model_name: str = "model"
    """By which the guest asks for the model."""
    args: Sequence[str] = ()
    """What follows the guest's name."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What the guest may ask for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the training, which replace the guest's; see `wasmgrad.TrainingOptions`."""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What a node answers. With noise in its policy, there is nothing in it but the weights and a fixed `samples`."""

    weights: bytes
    """As a safetensors file, with the policy's clipping and noise."""
    samples: int
    """Trained on: counted by the host, each as often as it was, and at most what the policy allows."""
    metrics: Mapping[str, float]
    """Of the host: `loss`, `accuracy` where the loss has one, `update-norm` (before clipping), `steps`, `seconds`."""
    reports: Mapping[str, float]
    """Of the guest, which can say what it likes."""


def run_task(task: Task, policy: Policy) -> TaskResult:
    """Runs the task as the policy allows.

    Errors: `SecurityError` for a guest or model that the policy does not name, and when its privacy budget is used
    up; `RuntimeFailure` when what the guest trained is another model or not finite; `GuestExit`, `TimeLimit`,
    `TooLarge` and the others of `wasmgrad.Sandbox.run`.
    """
    if len(task.weights) > policy.most_bytes:
        raise TooLarge(f"the weights have {len(task.weights)} bytes; this node takes {policy.most_bytes}")
    guest, model = policy.resolve(task.guest, "guest"), policy.resolve(task.model, "model")
    if policy.privacy is not None:
        check_budget(policy.privacy)
    result = _run(task, policy, guest, model)
    before, after = read_tensors(task.weights), read_tensors(result.weights or b"")
    leaving = write_tensors(bounded(before, after, policy))
    if policy.privacy is not None:
        spend(policy.privacy)
        return TaskResult(weights=leaving, samples=policy.samples or 0, metrics={}, reports={})
    trained = result.usage.samples if result.usage else 0
    return TaskResult(
        weights=leaving,
        samples=trained if policy.samples is None else min(trained, policy.samples),
        metrics=_metrics(result),
        reports=result.reports,
    )


def _run(task: Task, policy: Policy, guest: bytes, model: bytes) -> GuestResult:
    with scratch_directory() as scratch:
        program, archive = scratch / "guest.wasm", scratch / "model"
        write_atomic(program, guest)
        write_atomic(archive, model)
        sandbox = Sandbox(
            program,
            args=task.args,
            dirs=[f"{host}:{seen}:ro" for seen, host in policy.directories.items()],
            models={task.model_name: archive},
            limits=policy.limits,
            engine=policy.engine,
        )
        result = sandbox.run(weights=task.weights, config=task.config, **_options(task, policy))
    if result.exit_code != 0:
        message = f"the guest ended with exit code {result.exit_code}"
        raise GuestExit(message, result.exit_code, result.stdout, result.stderr)
    if result.weights is None:
        raise InvalidArgument("the guest ended without having trained")
    if result.usage is None or result.usage.samples == 0:
        raise RuntimeFailure("the guest moved the weights without training on a sample")
    return result


def _options(task: Task, policy: Policy) -> dict[str, Any]:
    """Those of the task, where the policy's are not less."""
    options = dict(task.options)
    for name, most in {"threads": policy.threads, "epochs": policy.epochs}.items():
        asked = options.get(name)
        if most is not None and (not isinstance(asked, int) or asked > most or asked < 1):
            options[name] = most
    return options


def _metrics(result: GuestResult) -> dict[str, float]:
    metrics = {"update-norm": result.update_norm, "seconds": result.seconds}
    if result.usage is not None:
        metrics["steps"] = float(result.usage.steps)
    if result.metrics is not None:
        metrics["loss"] = result.metrics.loss
        if result.metrics.accuracy is not None:
            metrics["accuracy"] = result.metrics.accuracy
    return metrics
