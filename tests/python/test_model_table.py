"""Five of the models of tools/model_table.py do everything in both formats; a wrong number is told from rounding."""

from __future__ import annotations

import json
import re
import subprocess
import sys
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
    assert "| DLRM | yes | yes | yes | yes | yes |" in lines
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines


def test_only_what_a_nudge_and_rounding_explain_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    import model_trial

    plain = np.array([1.0, -2.0])
    model_trial.same("a loss", plain + 9e-6, plain, plain + 1e-6)
    model_trial.same("a loss", plain + 3e-6, plain, plain)  # some last places
    with pytest.raises(model_trial.Wrong, match=r"a loss differs by 2e-05, a nudge makes 1e-06"):
        model_trial.same("a loss", plain + 2e-5, plain, plain + 1e-6)
    with pytest.raises(model_trial.Wrong, match="a loss differs by nan"):
        model_trial.same("a loss", plain * np.nan, plain, plain)


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
