"""Five of the models of tools/model_table.py do everything in both formats; a wrong number is told from rounding."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wasmgrad import Trainer

TOOLS = Path(__file__).resolve().parents[2] / "tools"
STAGES = {"trains", "saves and loads", "compiles", "agrees with torch"}
MODELS = ("GCN over dense adjacency", "DLRM", "MLP-Mixer", "siamese network", "Conv1d audio network")


def test_five_models_do_everything_in_both_formats(tmp_path: Path) -> None:
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    page.write_text("before\n<!-- [table of models] -->\nold\n<!-- [/table of models] -->\nafter\n")
    only = "|".join(f"^{re.escape(name)}$" for name in MODELS)
    command = [sys.executable, TOOLS / "model_table.py", "--jobs", "2", "--only", only]
    done = subprocess.run([*command, "--results", results, "--table", page], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = [json.loads(line) for line in results.read_text().splitlines()]
    found = {
        (trial["model"], form): {stage: outcome["kind"] for stage, outcome in stages.items()}
        for trial in trials
        for form, stages in trial["outcomes"].items()
    }
    assert found == {(name, form): dict.fromkeys(STAGES, "yes") for name in MODELS for form in ("pt", "pt2")}
    lines = page.read_text().splitlines()
    row = next(line for line in lines if line.startswith("| DLRM |"))
    assert re.fullmatch(r"\| DLRM \| yes \| yes \| yes \| yes \| yes \| \d+% \|", row)
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines


def test_only_what_a_nudge_and_rounding_explain_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    from model_yardstick import Wrong, along, same

    plain = np.array([1.0, -2.0])
    assert 0.5 < same("a loss", plain + 9e-6, plain, plain + 1e-6) < 0.9
    same("a loss", plain + 3e-6, plain, plain)  # some last places
    assert same("a loss", plain, plain, plain) == 0
    with pytest.raises(Wrong, match=r"a loss differs by 2e-05, a nudge makes 1e-06"):
        same("a loss", plain + 2e-5, plain, plain + 1e-6)
    with pytest.raises(Wrong, match="a loss differs by nan"):
        same("a loss", plain * np.nan, plain, plain)
    right = [1.0, 2.0 + 5e-6]
    assert 0.3 < along("a loss", [1.0, 2.0], right, [1.0 + 1e-6, right[1]]) < 1  # the gap of step 1 counts
    with pytest.raises(Wrong, match="a loss of step 2 differs by 2e-05"):
        along("a loss", [1.0, 2.0], [1.0, 2.0 + 2e-5], [1.0 + 1e-6, 2.0 + 2e-5])


def test_more_nudged_runs_are_made_before_a_number_is_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    from model_yardstick import Trained, Wrong, Yardstick

    made = []

    def train(seed: int | None) -> Trained:
        """The run after the third nudge takes another way, by a ReLU that switches."""
        made.append(seed)
        one = np.ones(1)
        return Trained(one, {"w": one + (1e-3 if seed == 4 else 0)}, one)

    yardstick = Yardstick(train)
    yardstick.hold("w", np.ones(1), lambda run: run.state["w"])
    assert made == [None, 2]
    yardstick.hold("w", np.ones(1) + 2e-3, lambda run: run.state["w"])
    assert made == [None, 2, 3, 4]
    assert 0.1 < yardstick.share < 0.3
    assert yardstick.nudges == 3
    with pytest.raises(Wrong, match=r"w differs by 0\.02"):
        yardstick.hold("w", np.ones(1) + 2e-2, lambda run: run.state["w"])
    assert made == [None, *range(2, 18)]


def test_a_run_with_another_learning_rate_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    import model_trial
    from sample_models import CASES

    right = model_trial.trainer_of

    def other(case: Any, file: Path) -> Trainer:
        trainer = right(case, file)
        trainer.set("learning_rate", 1.001 * case.learning_rate)
        return trainer

    monkeypatch.setattr(model_trial, "trainer_of", other)
    outcome = model_trial.run(next(case for case in CASES if case.name == "DLRM")).outcomes["pt"]["trains"]
    assert outcome.kind == "wrong"
    assert re.match(r"the loss of step \d+ differs by", outcome.detail)


@pytest.mark.parametrize(
    ("plain", "nudged", "reason"),
    [
        ([1.0, np.nan], [1.0, 1.0], "its losses in plain torch are not finite"),
        ([1.0, 2.0], [1.0, np.inf], "moves its losses in plain torch by inf of 2"),
        ([0.0, 0.0], [0.0, 0.0], "its losses in plain torch are all 0"),
        ([1.0, 2.0], [1.0, 2.01], "moves its losses in plain torch by 0.01 of 2"),
    ],
)
def test_a_sample_that_shows_nothing_is_told_from_a_wrong_number(
    plain: list[float], nudged: list[float], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    from model_yardstick import Trained, Unfit, check_fit

    one = np.ones(1)
    check_fit(Trained(one, {}, one), Trained(one, {}, one))
    with pytest.raises(Unfit, match=re.escape(reason)):
        check_fit(Trained(np.array(plain), {}, one), Trained(np.array(nudged), {}, one))
    with pytest.raises(Unfit, match=re.escape(reason.replace("losses", "outputs"))):
        check_fit(Trained(one, {}, np.array(plain)), Trained(one, {}, np.array(nudged)))


def test_a_sample_that_diverges_is_named_and_no_table_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    import model_table
    from model_trial import run
    from sample_models import CASES

    case = dataclasses.replace(next(case for case in CASES if case.name == "DLRM"), learning_rate=1e9)
    monkeypatch.setattr(model_table, "CASES", [case])
    monkeypatch.setattr(model_table, "run_each", lambda cases, *_: [(each, run(each)) for each in cases])
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    assert model_table.main(["--results", str(results), "--table", str(page)]) == 1
    assert (
        "DLRM\n  the sample shows nothing: its losses in plain torch are not finite"
        in capsys.readouterr().out
    )
    assert results.read_text() == ""
    assert not page.exists()


def test_children_are_stopped_by_their_processor_time_not_by_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    from children import Failed, run_each

    def work(waits: bool) -> str:
        if waits:
            time.sleep(2.5)
        else:
            while True:
                pass
        return "done"

    found = dict(run_each([True, False], work, jobs=2, seconds=2, memory=1 << 40))
    assert found == {True: "done", False: Failed("no result in 2 s of processor time")}
