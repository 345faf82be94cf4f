"""Runs the fuzz targets of a build, as many at once as there are processors, and says what each did.

Usage: run.py BUILD_DIR [--seconds N] [--seed N] [--jobs N] [TARGET...]. A target starts from its seeds
(make_seeds.py), from what earlier runs in the same build directory reached, and from the inputs in found/<target>,
which once made it fail. An input that makes it fail now is left in BUILD_DIR/fuzz/failed; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What no seed of this size needs, and what no input may take: bytes, seconds, megabytes.
LARGEST_INPUT = 70_000
LONGEST_INPUT = 30
MOST_MEMORY = 4096


@dataclass(frozen=True)
class Outcome:
    """What one target did."""

    target: str
    exit_code: int
    log: Path

    def numbers(self) -> tuple[str, str, str]:
        """Executions; edges covered with the first inputs; edges covered at the end."""
        text = self.log.read_text(errors="replace")
        covered = re.findall(r"cov: (\d+)", text)
        executed = re.search(r"stat::number_of_executed_units: (\d+)", text)
        initial = re.search(r"INITED cov: (\d+)", text)
        return (
            executed[1] if executed else "?",
            initial[1] if initial else "?",
            covered[-1] if covered else "?",
        )


def run(target: Path, work: Path, seconds: int, seed: int) -> Outcome:
    """Fuzzes one target for `seconds`."""
    name = target.name
    reached = work / "reached" / name
    failed = work / "failed"
    reached.mkdir(parents=True, exist_ok=True)
    failed.mkdir(exist_ok=True)
    corpora = [reached, work / "seeds" / name, HERE / "found" / name]
    options = os.environ.get("LSAN_OPTIONS", "")
    suppressions = HERE / "lsan.supp"
    environment = {
        **os.environ,
        "LSAN_OPTIONS": f"{options}:suppressions={suppressions}:print_suppressions=0",
        "OMP_NUM_THREADS": "1",
        "WASMGRAD_FUZZ_MODELS": str(work / "seeds" / "models"),
    }
    log = work / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.run(
            [
                target,
                *(corpus for corpus in corpora if corpus.is_dir()),
                f"-max_total_time={seconds}",
                f"-seed={seed}",
                f"-timeout={LONGEST_INPUT}",
                f"-rss_limit_mb={MOST_MEMORY}",
                f"-max_len={LARGEST_INPUT}",
                f"-artifact_prefix={failed}/{name}-",
                "-print_final_stats=1",
            ],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=work,
        )
    return Outcome(name, process.returncode, log)


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description="Runs the fuzz targets of a build.")
    parser.add_argument("build", type=Path)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the random changes; 0: another one each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_intermixed_args()
    build = arguments.build.resolve()
    work = build / "fuzz"
    subprocess.run([sys.executable, "-B", HERE / "make_seeds.py", work / "seeds"], check=True)
    targets = [
        path
        for path in sorted((build / "bin").glob("fuzz_*"))
        if not arguments.targets or path.name in arguments.targets
    ]
    if not targets:
        parser.error(f"no such fuzz target in {build / 'bin'}")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(
            pool.map(lambda target: run(target, work, arguments.seconds, arguments.seed), targets)
        )
    print(f"{'target':20}{'inputs':>12}{'edges':>8}{'at the start':>14}  result")
    for outcome in outcomes:
        executed, first, last = outcome.numbers()
        result = "ok" if outcome.exit_code == 0 else f"failed: {outcome.log}"
        print(f"{outcome.target:20}{executed:>12}{last:>8}{first:>14}  {result}")
    return 0 if all(outcome.exit_code == 0 for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
