"""Runs whose owner is killed, or that do not end when they are asked to: no process and no file stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad._files import scratch_directory

SECONDS = 1
"""In which all must have ended: they do within a tenth of it."""


def children(pid: int) -> Iterator[int]:
    """All processes below one."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return
    for child in map(int, text.split()):
        yield child
        yield from children(child)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wasmgrad_command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from wasmgrad._cli.app import main; main()", *arguments]


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP], ids=lambda n: n.name)
def test_no_process_outlives_the_command(
    number: signal.Signals, engine: str, build_c_guest: Callable[[str], Path]
) -> None:
    guest = str(build_c_guest("misbehave"))
    with subprocess.Popen(wasmgrad_command("guest", "run", "--engine", engine, guest, "loop")) as command:
        wait_until(lambda: len(list(children(command.pid))) >= 2)
        below = list(children(command.pid))
        command.send_signal(number)
        wait_until(lambda: not any(map(is_running, below)), SECONDS)
        assert command.wait(SECONDS) == -number


def test_killed_training_leaves_a_whole_checkpoint_and_after_the_next_start_nothing_else(
    regression_guest: Path, linear_model: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "state"
    options = ["--checkpoint", str(kept), "-o", str(tmp_path / "out.pt"), "--json"]
    guest = ["--model", f"linear.pt={linear_model}", str(regression_guest), "--samples", "256"]
    endless = wasmgrad_command("train", "--epochs", "1000000", *options, *guest)
    with subprocess.Popen(endless, stdout=subprocess.DEVNULL) as command:
        wait_until(kept.exists)
        below = list(children(command.pid))
        command.kill()
        wait_until(lambda: not any(map(is_running, below)), SECONDS)
    # What a process leaves that is killed while it writes.
    for name in (".state.1-0.tmp", ".out.pt.1-0.tmp"):
        (tmp_path / name).write_bytes(b"part")
    result = wasmgrad.train(
        regression_guest,
        args=["--samples", "256"],
        models={"linear.pt": linear_model},
        checkpoint=kept,
        resume=kept,
        output=tmp_path / "out.pt",
        epochs=1_000_000,
        on_event=_interrupt_at_the_first_epoch(),
    )
    assert result.interrupted
    assert {path.name for path in tmp_path.iterdir()} <= {"state", "out.pt"}


def _interrupt_at_the_first_epoch() -> Callable[[wasmgrad.Event], None]:
    sent: list[bool] = []

    def watch(event: wasmgrad.Event) -> None:
        if event["event"] == "epoch" and not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)

    return watch


def test_scratch_directory_of_a_killed_process_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = (
        f"import os, signal, tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from wasmgrad._files import scratch_directory\n"
        "with scratch_directory() as folder:\n"
        "    (folder / 'file').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], env=os.environ)
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_directory() as first, scratch_directory() as second:
        assert {first, second} == set(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
