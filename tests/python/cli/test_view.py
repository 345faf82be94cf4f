"""The default view shows what events say, and nothing that they do not."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from wasmgrad._cli.view import RichView, percent

FIT = {
    "event": "fit",
    "optimizer": "adam",
    "loss": "mse",
    "learning_rate": 0.001,
    "schedule": "constant",
    "epochs": 2,
    "batch_size": 32,
    "threads": 1,
    "precision": "f32",
    "seed": 7,
    "device": "cpu",
    "train_samples": 60_000,
    "validation_samples": 0,
    "test_samples": 0,
    "parameters": 1234,
    "batches": 10,
    "start_epoch": 0,
}
METRICS = {"loss": 0.25, "accuracy": 0.919, "top_k_accuracy": None, "samples": 100}


def epoch(number: int, **evaluations: dict[str, Any]) -> dict[str, Any]:
    times = {"learning_rate": 0.001, "seconds": 1.5, "samples_per_second": 1000.0}
    return {"event": "epoch", "epoch": number, "train": METRICS, **times, **evaluations}


def shown(*events: dict[str, Any]) -> str:
    output = io.StringIO()
    console = Console(file=output, width=200)
    with RichView(console) as view:
        for event in events:
            view(event)
    console.print(view.table())
    return output.getvalue()


def test_fit_line_names_the_choices() -> None:
    text = shown(FIT)
    assert "training 60,000 samples, 1,234 parameters: adam, mse, learning rate 0.001" in text
    assert "batch size 32, 1 threads, seed 7" in text
    assert "1 threads, bf16, seed 7" in shown({**FIT, "precision": "bf16"})


def test_each_epoch_has_a_line_and_a_row() -> None:
    text = shown(FIT, epoch(1, test=METRICS), epoch(2, test=METRICS))
    assert "epoch   1/2  loss 0.2500  accuracy 91.90 %  test 91.90 %  1.5 s  1,000 samples/s" in text
    assert "epoch   2/2" in text
    assert "test accuracy" in text


def test_columns_of_absent_evaluations_are_left_out() -> None:
    text = shown(FIT, epoch(1))
    assert "test accuracy" not in text
    assert "validation" not in text


def test_loss_without_accuracy_is_shown_alone() -> None:
    plain = {"loss": 0.5, "accuracy": None, "top_k_accuracy": None, "samples": 10}
    event = epoch(1, test=plain) | {"train": plain}
    assert "epoch   1/2  loss 0.5000  test loss 0.5000" in shown(FIT, event)


def test_console_text_is_shown_line_by_line() -> None:
    text = shown(
        {"event": "console", "stream": "stdout", "text": "[Wasm] Preparing ... "},
        {"event": "console", "stream": "stdout", "text": "[Done]\nlast"},
    )
    assert "[Wasm] Preparing ... [Done]\nlast\n" in text


def test_console_text_is_no_markup() -> None:
    assert "[bold]x[/bold]" in shown({"event": "console", "stream": "stderr", "text": "[bold]x[/bold]\n"})


def test_warning_is_shown_as_it_is() -> None:
    text = shown({"event": "warning", "message": "model 'm[0]': its mode is fixed"})
    assert "warning: model 'm[0]': its mode is fixed" in text


def test_unknown_event_is_left_out() -> None:
    assert "novel" not in shown({"event": "novel"})


@pytest.mark.parametrize(("fraction", "text"), [(None, "-"), (0.919, "91.90 %"), (1.0, "100.00 %")])
def test_percent(fraction: float | None, text: str) -> None:
    assert percent(fraction) == text


def test_an_evaluation_between_single_steps_has_a_line() -> None:
    steps = {"event": "steps", "step": 1500, "learning_rate": 0.1, **METRICS}
    text = shown(steps, {"event": "evaluation", "step": 1500, **METRICS})
    assert "step 1,500  evaluation loss 0.2500  accuracy 91.90 %" in text


FIT_END = {
    "event": "fit_end",
    "seconds": 3.0,
    "epoch": 2,
    "step": 20,
    "stopped_early": True,
    "best_epoch": 1,
    "best_loss": 0.25,
    "best_restored": True,
    "interrupted": False,
}


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (
            {},
            "stopped early after epoch 2: the best epoch was 1 (loss 0.2500), whose weights the model has\n",
        ),
        ({"best_restored": False}, "stopped early after epoch 2: the best epoch was 1 (loss 0.2500)\n"),
        ({"best_epoch": None, "best_loss": None, "best_restored": False}, "stopped early after epoch 2\n"),
    ],
)
def test_early_stopping_names_the_best_epoch(end: dict[str, Any], sentence: str) -> None:
    assert sentence in shown(FIT, epoch(1), epoch(2), FIT_END | end)


def test_run_without_anything_left_to_train_says_so() -> None:
    text = shown(FIT | {"start_epoch": 3}, FIT_END | {"stopped_early": False})
    assert "nothing to train: 3 epochs are done, and 2 were asked for" in text
    assert "stopped early" not in text
