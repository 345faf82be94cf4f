"""`wasmgrad train`: its views, what it leaves behind, and how Ctrl-C ends it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import wasmgrad
from wasmgrad import models
from wasmgrad._cli.train import _resume_command

Command = Callable[..., subprocess.CompletedProcess[str]]
FEW = ["--epochs", "2", "--batches-per-epoch", "4", "--seed", "0", "--threads", "1"]


@pytest.fixture
def regress(command: Command, regression_guest: Path, linear_model: Path) -> Command:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        guest = [str(regression_guest), "--samples", "256"]
        return command("train", "--model", f"linear.pt={linear_model}", *options, *guest)

    return run


def test_default_view_ends_with_a_table_and_the_saved_model(
    command: Command, tmp_path: Path, few_digits: Path
) -> None:
    done = command("train", "--data", str(few_digits), *FEW)
    assert done.returncode == 0, done.stderr
    assert "[Wasm] Preparing training images ... [Done]" in done.stdout
    assert "epoch   2/2" in done.stdout
    assert "samples/s" in done.stdout
    assert "trained_mnist-cnn.pt" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["trained_mnist-cnn.pt"]
    assert torch.jit.load(tmp_path / "trained_mnist-cnn.pt")(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_classic_view_has_the_lines_of_the_earlier_project(command: Command, mnist: Path) -> None:
    done = command("train", "--classic", "--data", str(mnist), *FEW)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    wanted = [
        "[Wasm] Preparing training images ... [Done]",
        "[Plugin] Preparing train images ... [Done] (shape: [60000, 1, 28, 28], dtype: Float)",
        "Labels: 10",
        "Device: ",
        "Learning rate: 0.0001",
        "Epochs: 2",
        "Initial accuracy: ",
        "epoch: 1 test acc: ",
        "epoch: 2 test acc: ",
        "Finished",
        "dumped to",
    ]
    positions = [next((i for i, line in enumerate(lines) if text in line), None) for text in wanted]
    assert None not in positions, (wanted[positions.index(None)], done.stdout)
    assert positions == sorted(positions, key=lambda position: position or 0)


def test_json_view_is_one_event_a_line(regress: Command) -> None:
    done = regress("--json", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names.count("epoch") == 2
    assert names[-1] == "end"
    assert events[-1]["status"] == "ok"


@pytest.mark.parametrize("view", [[], ["--json"]])
def test_log_dir_takes_event_files_besides_the_view(
    regress: Command, tmp_path: Path, view: list[str]
) -> None:
    done = regress(*view, "--epochs", "1", "--log-dir", "logs")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "logs").glob("events.out.tfevents.*"))) == 1
    if view:
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "end"


def test_plain_lines_leave_nothing_to_log(regress: Command) -> None:
    done = regress("--classic", "--log-dir", "logs")
    assert done.returncode != 0
    assert "--classic and --log-dir" in done.stderr


@pytest.mark.parametrize("view", [[], ["--json"], ["--classic"]])
def test_every_view_saves_the_same_model(regress: Command, tmp_path: Path, view: list[str]) -> None:
    assert regress(*view, "--epochs", "2", "--seed", "3", "--threads", "1").returncode == 0
    first = torch.jit.load(tmp_path / "trained_linear.pt").state_dict()
    assert regress("--epochs", "2", "--seed", "3", "--threads", "1", "-o", "again.pt").returncode == 0
    again = torch.jit.load(tmp_path / "again.pt").state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("view", [[], ["--json"], ["--classic"]])
def test_refused_option_fails_in_every_view(regress: Command, tmp_path: Path, view: list[str]) -> None:
    done = regress(*view, "--batch-size", "0")
    assert done.returncode == 3
    assert "batch_size is 0" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_directory_where_the_model_would_be_saved_is_refused_before_the_training(
    regress: Command, tmp_path: Path
) -> None:
    (tmp_path / "trained_linear.pt").mkdir()
    done = regress("--json", "--epochs", "1")
    assert done.returncode != 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert "it is a directory" in next(event["message"] for event in events if event["event"] == "error")
    assert not {"fit", "epoch"} & {event["event"] for event in events}


def test_guest_exit_code_becomes_the_command_s(command: Command, regression_guest: Path) -> None:
    assert command("train", str(regression_guest), "--no-such-option").returncode == 2


def test_named_checkpoint_is_kept(regress: Command, tmp_path: Path) -> None:
    assert regress("--epochs", "1", "--checkpoint", "kept.safetensors").returncode == 0
    assert (tmp_path / "kept.safetensors").is_file()


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path, mnist: Path) -> None:
    kept = tmp_path / "trained_mnist-cnn.ckpt.safetensors"
    kept.write_bytes(b"an earlier one")
    command = [sys.executable, "-m", "wasmgrad", "train", "--json", "--data", str(mnist), "--epochs", "50"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "progress":
                process.send_signal(signal.SIGINT)
                break
        rest = [json.loads(line) for line in process.stdout]
        said = process.stderr.read()
    assert process.returncode == 130
    assert rest[-1]["status"] == "interrupted"
    assert kept.read_bytes() != b"an earlier one"
    resume = shlex.split(said.partition("go on with: ")[2])
    assert resume[:2] == ["wasmgrad", "train"]
    assert resume[resume.index("--resume") + 1] == kept.name
    assert "50" in resume


NEVER_TRAINS = """
#include <stdio.h>
int main(void) {
  puts("here");
  fflush(stdout);
  for (volatile unsigned turns = 0;;) ++turns;
}
"""


def test_checkpoint_of_an_earlier_run_is_not_taken_for_this_one_s(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"an earlier one")
    (tmp_path / "main.c").write_text(NEVER_TRAINS)
    guest = wasmgrad.build_guest(tmp_path, tmp_path / "guest.wasm")
    options = ["--json", "--checkpoint", str(kept), "--grace-time", "0.1"]
    command = [sys.executable, "-m", "wasmgrad", "train", *options, str(guest)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["text"] == "here\n"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        said = process.stderr.read()
    assert process.returncode == 130
    assert kept.read_bytes() == b"an earlier one"
    assert "there is nothing to go on from" in said
    assert "go on with" not in said


def test_words_of_the_guest_stay_in_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--epochs", "3", "--resume", "old", "mine.wasm"]
    guest = ["--resume", "--resume=x", "two words"]
    monkeypatch.setattr(sys, "argv", ["wasmgrad", "train", *words, *guest])
    command = shlex.split(_resume_command(Path("new"), len(guest)))
    assert command == ["wasmgrad", "train", "--resume", "new", "--epochs", "3", "mine.wasm", *guest]


def test_run_that_has_nothing_left_to_train_says_so(regress: Command) -> None:
    assert regress("--epochs", "2", "--checkpoint", "kept").returncode == 0
    for epochs in ("2", "1"):
        done = regress("--epochs", epochs, "--resume", "kept")
        assert done.returncode == 0, done.stderr
        assert f"nothing to train: 2 epochs are done, and {epochs} were asked for" in done.stdout


def test_early_stopping_is_told(regress: Command) -> None:
    done = regress("--epochs", "50", "--early-stopping", "1", "--early-stopping-min-delta", "1e9")
    assert done.returncode == 0, done.stderr
    assert "stopped early after epoch 2: the best epoch was 1" in done.stdout
    assert "whose weights the model has" in done.stdout


def test_parent_process_does_not_load_torch(few_digits: Path, tmp_path: Path) -> None:
    models.cached("mnist-cnn")
    code = (
        "import sys; from wasmgrad._cli.app import app\n"
        f"app(['train', '--data', {str(few_digits)!r}, *{FEW!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
