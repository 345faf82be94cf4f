"""The event files of a run, read back by TensorBoard itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wasmgrad
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

METRICS = {"loss": 0.25, "accuracy": 0.9, "top_k_accuracy": None, "samples": 100}


def logged(directory: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return accumulator


def series(directory: Path, tag: str) -> list[tuple[int, float]]:
    return [(point.step, pytest.approx(point.value)) for point in logged(directory).Scalars(tag)]


def write(directory: Path, *events: dict[str, Any]) -> None:
    with wasmgrad.TensorBoardLog(directory) as log:
        for event in events:
            log(event)


def test_a_training_run_leaves_its_curves(tmp_path: Path) -> None:
    with wasmgrad.TensorBoardLog(tmp_path) as log:
        result = wasmgrad.train(epochs=2, batches_per_epoch=5, on_event=log)
    last = result.epochs[-1]
    assert last.test is not None
    assert series(tmp_path, "test/accuracy")[-1] == (10, last.test.accuracy)
    assert series(tmp_path, "train/loss")[-1] == (10, last.train.loss)
    assert [step for step, _ in series(tmp_path, "learning_rate")] == [5, 10]


def test_usage_is_logged_once(tmp_path: Path) -> None:
    with wasmgrad.TensorBoardLog(tmp_path) as log:
        result = wasmgrad.train(epochs=1, batches_per_epoch=5, on_event=log)
    assert result.usage is not None
    assert series(tmp_path, "usage/steps") == [(5, 5)]
    assert series(tmp_path, "usage/host_seconds") == [(5, result.usage.host_seconds)]


def test_single_steps_and_evaluations_stand_at_their_step(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"event": "steps", "step": 7, "learning_rate": 0.1, **METRICS},
        {"event": "evaluation", "step": 7, **METRICS},
    )
    assert series(tmp_path, "train/loss") == [(7, 0.25)]
    assert series(tmp_path, "validation/accuracy") == [(7, 0.9)]


def test_a_figure_that_there_is_not_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"event": "steps", "step": 7, "learning_rate": 0.1, **METRICS, "loss": None})
    assert sorted(logged(tmp_path).Tags()["scalars"]) == ["learning_rate", "train/accuracy"]


def test_a_file_is_no_log_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(wasmgrad.InvalidArgument, match="it is a file"):
        wasmgrad.TensorBoardLog(tmp_path / "file")
