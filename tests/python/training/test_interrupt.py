"""Ctrl-C in the middle of an epoch of any guest: how the run ends, what it leaves, and that it goes on from there."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import wasmgrad
from safetensors import safe_open
from wasmgrad._files import find_part

WAYS = ("fit", "fits", "epochs", "steps")
STEPS = 32768  # of all ways
OPTIONS = ("--seed", "5", "--threads", "1")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(torch.jit.load(str(path)).state_dict())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def metadata(checkpoint: Path) -> dict[str, str]:
    with safe_open(checkpoint, framework="pt") as file:
        return dict(file.metadata())


@dataclass
class Ended:
    code: int
    events: list[wasmgrad.Event]
    stderr: str

    @property
    def console(self) -> str:
        return "".join(event["text"] for event in self.events if event["event"] == "console")

    @property
    def command(self) -> list[str]:
        """The one that goes on."""
        (line,) = [line for line in self.stderr.splitlines() if "go on with: " in line]
        return shlex.split(line.partition("go on with: ")[2])


def run(command: Sequence[str], folder: Path, *, interrupt: bool = False) -> Ended:
    """Runs a command with --json; interrupts it at its first sign of a step."""
    sent = not interrupt
    events = []
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            events.append(json.loads(line))
            if not sent and events[-1]["event"] in ("progress", "steps"):
                process.send_signal(signal.SIGINT)
                sent = True
        stderr = process.stderr.read()
    assert sent, events
    return Ended(process.returncode, events, stderr)


@pytest.fixture(scope="module")
def guest(build_c_guest: Callable[[str], Path]) -> Path:
    return build_c_guest("train_loop")


@pytest.fixture
def folder(tmp_path: Path, guest: Path, linear_model: Path) -> Path:
    shutil.copy(guest, tmp_path / "mine.wasm")
    shutil.copy(linear_model, tmp_path / "model.pt")
    return tmp_path


def cli(*arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "wasmgrad", "train", "--json", *OPTIONS),
        *("--model", "model.pt=model.pt", "--checkpoint", "kept", "-o", "out.pt", "mine.wasm"),
        *arguments,
    ]


@pytest.mark.parametrize("way", WAYS)
def test_interrupted_run_ends_with_130_and_goes_on_as_if_it_had_not_been(folder: Path, way: str) -> None:
    whole = run(cli(way), folder)
    assert whole.code == 0, whole.stderr
    expected = weights(folder / "out.pt")
    (folder / "out.pt").unlink()
    (folder / "kept").unlink()

    stopped = run(cli(way), folder, interrupt=True)
    assert stopped.code == 130, (stopped.events[-3:], stopped.stderr)
    assert stopped.events[-1]["status"] == "interrupted"
    (error,) = [event for event in stopped.events if event["event"] == "error"]
    state = metadata(folder / "kept")
    assert 0 < int(state["step"]) < STEPS
    assert error["kind"] == "interrupted"
    assert f"after step {state['step']} ({state['epoch']} whole epochs" in error["message"]
    assert not (folder / "out.pt").exists()

    command = stopped.command
    assert command[: command.index("mine.wasm")].count("--resume") == 1
    assert command[-1] == way
    resumed = run([sys.executable, "-m", *command], folder)
    assert resumed.code == 0, resumed.stderr
    assert f"begins at epoch {state['epoch']}, step {state['step']}" in resumed.console
    assert metadata(folder / "kept")["step"] == str(STEPS)
    assert same(weights(folder / "out.pt"), expected)

    (folder / "out.pt").unlink()
    again = run([sys.executable, "-m", *command], folder)  # all is done: nothing is trained
    assert again.code == 0, again.stderr
    assert metadata(folder / "kept")["step"] == str(STEPS)
    assert same(weights(folder / "out.pt"), expected)


def test_guest_that_keeps_silent_about_an_interrupt_was_interrupted_all_the_same(folder: Path) -> None:
    stopped = run(cli("epochs", "quietly"), folder, interrupt=True)
    assert stopped.code == 130
    assert stopped.command[-2:] == ["epochs", "quietly"]


def test_words_of_the_guest_stay_in_the_command(folder: Path) -> None:
    stopped = run(cli("fit", "--resume"), folder, interrupt=True)
    assert stopped.command[-3:] == ["mine.wasm", "fit", "--resume"]
    again = run([sys.executable, "-m", *stopped.command], folder, interrupt=True)
    assert again.command == stopped.command


def test_interrupt_leaves_an_earlier_model_as_it_is(folder: Path) -> None:
    (folder / "out.pt").write_bytes(b"an earlier one")
    assert run(cli("fit"), folder, interrupt=True).code == 130
    assert (folder / "out.pt").read_bytes() == b"an earlier one"


def native(*options: str) -> list[str]:
    program = str(find_part("bin/wasmgrad-train"))
    return [program, "--json", *OPTIONS, "--model", "model.pt=model.pt", *options, "mine.wasm", "steps"]


def test_native_tool_says_how_to_go_on_too(folder: Path) -> None:
    stopped = run(native("--checkpoint", "a 'place'", "--output", "out.pt"), folder, interrupt=True)
    assert stopped.code == 130
    assert run(stopped.command, folder).code == 0
    resumed = weights(folder / "out.pt")
    assert run(native("--output", "out.pt"), folder).code == 0
    assert same(weights(folder / "out.pt"), resumed)


def test_native_tool_says_that_nothing_was_kept(folder: Path) -> None:
    stopped = run(native(), folder, interrupt=True)
    assert stopped.code == 130
    assert "no --checkpoint FILE was given" in stopped.stderr


class NeverEnds(torch.nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while x.numel() > 0:
            x = x * self.weight
        return x


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
def test_step_that_never_ends_is_killed_after_the_grace_time(folder: Path, engine: str) -> None:
    torch.jit.script(NeverEnds(1, 1)).save(folder / "model.pt")
    words = cli("steps")
    command = [*words[:-2], "--engine", engine, "--grace-time", "0.2", *words[-2:]]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["event"] != "console":  # its next call is the first step
            pass
        time.sleep(1)  # and it is under way
        process.send_signal(signal.SIGINT)
        events = [json.loads(line) for line in process.stdout]
    assert process.returncode == 130
    (error,) = [event for event in events if event["event"] == "error"]
    assert "it had not ended after its grace time of 0.2 s" in error["message"]


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("way", ["fit", "epochs", "steps"])
def test_python_s_result_has_the_model_of_the_last_step(folder: Path, way: str, isolate: bool) -> None:
    sent: list[None] = []

    def interrupt(event: wasmgrad.Event) -> None:
        if event["event"] in ("progress", "steps") and not sent:
            sent.append(None)
            os.kill(os.getpid(), signal.SIGINT)

    result = wasmgrad.train(
        folder / "mine.wasm",
        args=[way],
        models={"model.pt": folder / "model.pt"},
        output=folder / "out.pt",
        checkpoint=folder / "kept",
        isolate=isolate,
        on_event=interrupt,
        seed=5,
        threads=1,
    )
    assert sent
    assert result.interrupted
    assert result.output is None
    assert not (folder / "out.pt").exists()
    state = metadata(folder / "kept")
    assert f"after step {state['step']} (" in result.reason
    with safe_open(folder / "kept", framework="pt") as file:
        kept = {name: file.get_tensor(f"model.{name}") for name in weights(folder / "model.pt")}
    assert same(dict(torch.jit.load(io.BytesIO(result.model)).state_dict()), kept)


@pytest.mark.parametrize("epochs", [2, 4, 6])
def test_owner_s_number_of_epochs_is_that_of_all_runs(folder: Path, epochs: int) -> None:
    first = run([*cli()[:-1], "--epochs", "3", "mine.wasm", "epochs"], folder)
    assert first.code in (0, 1)  # the guest wants four, and takes the refusal of one for a failure
    assert metadata(folder / "kept")["epoch"] == "3"
    command = [*cli()[:-1], "--epochs", str(epochs), "--resume", "kept", "mine.wasm", "fit"]
    second = run(command, folder)
    assert second.code == 0, second.stderr
    assert metadata(folder / "kept")["epoch"] == str(max(3, min(4, epochs)))


def test_default_view_says_that_there_is_nothing_to_train(folder: Path) -> None:
    assert run(cli("fit"), folder).code == 0
    command = [word for word in cli("fit") if word != "--json"]
    guest = command.index("mine.wasm")
    done = subprocess.run(
        [*command[:guest], "--resume", "kept", *command[guest:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to train: 4 epochs are done, and 4 were asked for" in done.stdout
