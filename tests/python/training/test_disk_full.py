"""A full disk ends a save with one sentence, and leaves what was there before as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMESPACE = ["unshare", "--map-root-user", "--mount"]
"""Runs a command where an ordinary user may mount; some systems allow that to nobody but root."""

pytestmark = pytest.mark.skipif(
    not os.environ.get("CI") and subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="this system lets ordinary users make no namespace for a small disk",
)

RUN = """
import sys, wasmgrad
guest, model, folder = sys.argv[1:]
try:
    wasmgrad.train(guest, args=["--samples", "64"], models={"linear.pt": model}, epochs=1, threads=1,
                   output=f"{folder}/model.pt", checkpoint=f"{folder}/kept.safetensors" if KEEP else None)
except wasmgrad.Error as error:
    print(error.kind, error.message)
"""


def on_full_disk(guest: Path, model: Path, folder: Path, *, keep: bool) -> str:
    """Runs a training whose files go to a full tmpfs of 16 KiB; an old file of each name is there.

    Prints the error, then the names and contents of what is on the disk.
    """
    script = f"""
set -e
mount -t tmpfs -o size=16k tmpfs {folder}
printf old > {folder}/model.pt
printf old > {folder}/kept.safetensors
head -c 8192 /dev/zero > {folder}/filler
{sys.executable} -c '{RUN.replace("KEEP", str(keep))}' {guest} {model} {folder}
ls -A {folder}
cat {folder}/model.pt {folder}/kept.safetensors
"""
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_model_that_does_not_fit_is_refused(
    regression_guest: Path, linear_model: Path, tmp_path: Path
) -> None:
    error, *rest = on_full_disk(regression_guest, linear_model, tmp_path, keep=False).splitlines()
    assert error.startswith("runtime_error ")
    assert "No space left on device" in error
    assert rest == ["filler", "kept.safetensors", "model.pt", "oldold"]


def test_checkpoint_that_does_not_fit_is_refused(
    regression_guest: Path, linear_model: Path, tmp_path: Path
) -> None:
    error, *rest = on_full_disk(regression_guest, linear_model, tmp_path, keep=True).splitlines()
    assert error.startswith("runtime_error ")
    assert "kept.safetensors" in error
    assert rest == ["filler", "kept.safetensors", "model.pt", "oldold"]
