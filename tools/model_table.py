#!/usr/bin/env python3
"""Trains, saves, loads and compiles small models of every usual kind, and compares each step with plain torch.

    python tools/model_table.py --jobs 2 --results results.jsonl --table docs/models.md

A model is trained in both formats. A number that is further from torch's than rounding explains, or a crash, makes
this program exit with 1; what is not supported must be refused in words. A sample that plain torch itself cannot train
to comparable numbers is at fault itself: it is named, and no table is written. Each model runs in a child process with
a limit of processor time and of memory. Results are appended to a file of JSON lines; models found there are not run
again. The packages that the models come from are the extra `samples` of pyproject.toml.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch._dynamo  # noqa: F401  # heavy, so before the children are forked, which use it
import wasmgrad.compiler.frontend.torch  # noqa: F401
from children import Failed, run_each
from model_trial import FORMATS, STAGES, Outcome, Trial, run
from sample_models import CASES

SECONDS = 900.0
BYTES = 6 << 30
BAD = ("wrong", "crashed")
MARKED = re.compile(r"(<!-- \[table of models\] -->\n).*?(<!-- \[/table of models\] -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the models that have no result yet and report all of them; 1 when one was wrong or crashed."""
    options = _parser().parse_args(arguments)
    trials = {trial.model: trial for trial in _read(options.results)}
    cases = [case for case in CASES if re.search(options.only, case.name)]
    missing = [case for case in cases if case.name not in trials]
    with Path(options.results or os.devnull).open("a", encoding="utf-8") as file:
        for case, result in run_each(missing, run, options.jobs, options.seconds, BYTES):
            trial = _crashed(case.name, result.reason) if isinstance(result, Failed) else result
            trials[trial.model] = trial
            if not trial.unfit:  # a sample that was mended runs again
                file.write(json.dumps(asdict(trial)) + "\n")
                file.flush()
            _print(trial)
    chosen = [trials[case.name] for case in cases if not trials[case.name].unfit]
    print(_summary(chosen))
    if unfit := len(cases) - len(chosen):
        print(f"Mend the samples that show nothing ({unfit}, named above); there is no table without them.")
        return 1
    if options.table:
        _write_table(options.table, chosen)
    return int(any(outcome.kind in BAD for trial in chosen for _, _, outcome in _outcomes(trial)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="models at the same time")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="processor time that one model may take"
    )
    parser.add_argument("--only", default="", metavar="PATTERN", help="only models whose name matches this")
    parser.add_argument("--results", type=Path, help="JSON lines to resume from and to append to")
    parser.add_argument("--table", type=Path, help="Markdown file between whose marks the table is written")
    return parser


def _read(path: Path | None) -> Iterator[Trial]:
    if path is not None and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            outcomes = {
                form: {stage: Outcome(**outcome) for stage, outcome in stages.items()}
                for form, stages in record["outcomes"].items()
            }
            yield Trial(
                record["model"], record["how"], outcomes, "", record["share"], record.get("nudges", 0)
            )


def _crashed(model: str, reason: str) -> Trial:
    outcome = {"trains": Outcome("crashed", reason)}
    return Trial(model, {}, {form: dict(outcome) for form in FORMATS})


def _outcomes(trial: Trial) -> Iterator[tuple[str, str, Outcome]]:
    """Format, stage and outcome of all that was reached."""
    for form, stages in trial.outcomes.items():
        for stage, outcome in stages.items():
            yield form, stage, outcome


def _print(trial: Trial) -> None:
    if trial.unfit:
        print(f"{trial.model}\n  the sample shows nothing: {trial.unfit}", flush=True)
        return
    troubles = [
        f"  .{form} {stage}: {outcome.kind}: {outcome.detail}"
        for form, stage, outcome in _outcomes(trial)
        if outcome.kind != "yes"
    ]
    gap = f"  gap {trial.share:.0%} of what is allowed, after {trial.nudges} nudged runs of torch"
    print("\n".join([trial.model, *(troubles or ["  everything"]), gap]), flush=True)


# -- the table ----------------------------------------------------------------------------------------------------


def _whole(trial: Trial, form: str) -> bool:
    stages = trial.outcomes[form]
    return all(stage in stages and stages[stage].kind == "yes" for stage in STAGES)


def _summary(trials: Sequence[Trial]) -> str:
    whole = sum(any(_whole(trial, form) for form in FORMATS) for trial in trials)
    both = sum(all(_whole(trial, form) for form in FORMATS) for trial in trials)
    wrong = sum(any(outcome.kind in BAD for _, _, outcome in _outcomes(trial)) for trial in trials)
    return (
        f"{len(trials)} models: {whole} do everything in at least one format, {both} in both; "
        f"{wrong or 'none'} gave a wrong number."
    )


def _write_table(path: Path, trials: Sequence[Trial]) -> None:
    text = path.read_text(encoding="utf-8")
    table = "\n".join([_summary(trials), "", *_table(trials), ""])
    written, count = MARKED.subn(lambda marks: f"{marks[1]}{table}{marks[2]}", text)
    if count != 1:
        sys.exit(f"{path} has no marks [table of models] to write between")
    path.write_text(written, encoding="utf-8")


def _table(trials: Sequence[Trial]) -> list[str]:
    """Rows, and below them each reason once, by its number."""
    notes: dict[str, int] = {}
    rows = [
        "| model | trains `.pt` | trains `.pt2` | saves and loads | compiles | agrees with torch | gap |",
        "|---|---|---|---|---|---|---|",
    ]
    for trial in trials:
        cells = [_cell(trial, [form], "trains", notes) for form in FORMATS]
        cells += [_cell(trial, FORMATS, stage, notes) for stage in STAGES[1:]]
        rows.append(f"| {trial.model} | {' | '.join(cells)} | {trial.share:.0%} |")
    return [*rows, "", *(f"{number}. {note}" for note, number in notes.items())]


def _cell(trial: Trial, forms: Sequence[str], stage: str, notes: dict[str, int]) -> str:
    """Yes, with the format where only one has it; else what happened, with the number of its reason."""
    found = {form: trial.outcomes[form][stage] for form in forms if stage in trial.outcomes[form]}
    kept = [form for form, outcome in found.items() if outcome.kind == "yes"]
    parts = []
    if kept:
        only = "" if len(kept) == len(forms) else f" `.{kept[0]}`"
        parts.append(
            f"yes{only}" + (", traced" if stage == "trains" and trial.how.get(kept[0]) == "traced" else "")
        )
    for outcome in found.values():
        if outcome.kind != "yes":
            number = notes.setdefault(outcome.detail, len(notes) + 1)
            parts.append(f"{outcome.kind} ({number})")
    return "; ".join(dict.fromkeys(parts)) or "-"


if __name__ == "__main__":
    sys.exit(main())
