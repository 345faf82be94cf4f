"""The command line: each subcommand, and that failures are one sentence and a non-zero exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
import wasmgrad
from wasmgrad import Limits
from wasmgrad._cli import app

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_version(command: Command) -> None:
    assert command("--version").stdout == f"wasmgrad {wasmgrad.__version__}\n"


@pytest.mark.parametrize(
    ("args", "exit_code", "sentence"),
    [
        (["train", "--no-such-option"], 2, "No such option"),
        (["train", "--epochs", "ten"], 2, "Invalid value for '--epochs'"),
        (["train", "absent.wasm"], 3, "absent.wasm"),
        (["train", "--json", "--classic"], 3, "--json and --classic: choose one view"),
        (["train", "absent.wasm", "--model"], 3, "absent.wasm"),
        (["train", "--model", "nameless", "x.wasm"], 3, "--model nameless: expected the form NAME=VALUE"),
        (["train", "--resume", "absent.safetensors"], 3, "absent.safetensors"),
        (["train", "--data", "absent"], 3, "absent"),
        (["model", "vgg"], 3, "model 'vgg' is not in the registry; it holds mnist-cnn"),
        (["model"], 3, "a NAME is needed"),
        (
            ["model", "mlp", "-o", "absent/m.pt"],
            3,
            "absent/m.pt: cannot be written: No such file or directory",
        ),
        (["guest", "build", "absent"], 3, "absent: no such directory"),
        (["guest", "run", "absent.wasm"], 3, "absent.wasm"),
    ],
)
def test_failure_is_one_sentence(command: Command, args: list[str], exit_code: int, sentence: str) -> None:
    done = command(*args)
    assert done.returncode == exit_code
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("train", "trained_<model>.pt"),
        ("compile", "MODEL.wasm"),
        ("model", "NAME.pt"),
        ("run", "as compiled"),
    ],
)
def test_help_shows_defaults_that_depend_on_the_call(command: Command, name: str, default: str) -> None:
    # The help is wrapped to the terminal's width.
    assert f"[default: ({default})]" in " ".join(command(name, "--help").stdout.replace("│", "").split())


def test_model_is_written(command: Command, tmp_path: Path) -> None:
    done = command("model", "mlp", "-o", "m.pt")
    assert done.returncode == 0
    assert done.stdout.startswith("m.pt: ")
    assert torch.jit.load(tmp_path / "m.pt")(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_model_list_names_all(command: Command) -> None:
    lines = command("model", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(wasmgrad.models.names())


def test_guest_run_passes_console_and_exit_code(command: Command, regression_guest: Path) -> None:
    helped = command("guest", "run", str(regression_guest), "--help")
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: regression.wasm")
    refused = command("guest", "run", str(regression_guest), "--no-such-option")
    assert refused.returncode == 2
    assert "--no-such-option" in refused.stderr


def test_guest_exit_code_beyond_a_shell_s_is_one(
    command: Command, build_c_guest: Callable[[str], Path]
) -> None:
    assert command("guest", "run", str(build_c_guest("misbehave")), "exit-300").returncode == 1


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
def test_guest_run_time_limit_has_its_exit_code(
    command: Command, build_c_guest: Callable[[str], Path], engine: str
) -> None:
    limits = ("--engine", engine, "--time-limit", "0.5")
    done = command("guest", "run", *limits, str(build_c_guest("misbehave")), "loop")
    assert done.returncode == 124
    assert "time limit of 0.5 s" in done.stderr


def test_new_guest_builds_and_runs(command: Command, tmp_path: Path) -> None:
    assert command("guest", "new", "mine").returncode == 0
    built = command("guest", "build", "mine")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "mine/mine.wasm").read_bytes()[:4] == b"\0asm"


def test_doctor_json_names_every_part(command: Command) -> None:
    done = command("doctor", "--json")
    findings = json.loads(done.stdout)
    parts = {finding["part"] for finding in findings}
    assert {
        "WasmEdge",
        "torch",
        "CPU",
        "threads",
        "tool chain",
        "compiler",
        "wasmtime",
        "Node",
        "cache",
    } <= parts
    missing = {finding["part"] for finding in findings if not finding["ok"]}
    assert missing <= {"Node"}  # which pip cannot install
    assert done.returncode == bool(missing)


def test_doctor_says_what_to_do_about_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Command
) -> None:
    monkeypatch.setenv("WASMGRAD_CACHE", "/proc/nowhere")
    done = command("doctor")
    assert done.returncode == 1
    assert "MISSING  cache" in done.stdout
    assert "-> set WASMGRAD_CACHE to a directory that can be written" in done.stdout


def test_refused_options_are_one_sentence_with_a_typer_built_on_click(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As typer was up to 0.20, which other packages still ask for."""

    class ClickException(Exception):
        exit_code = 2

        def format_message(self) -> str:
            return "Missing argument 'FILE'."

    def refuse(standalone_mode: bool) -> None:
        raise ClickException

    monkeypatch.delattr(typer, "TyperException", raising=False)
    monkeypatch.setitem(sys.modules, "click", types.SimpleNamespace(ClickException=ClickException))
    monkeypatch.setattr(app, "app", refuse)
    with pytest.raises(SystemExit, match="2"):
        app.main()
    assert capsys.readouterr().err == "wasmgrad: Missing argument 'FILE'.\n"


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        (["--memory", "512MiB", "--open-files", "9"], Limits(memory_pages=8192, open_files=9)),
        (["--tensor-bytes", "1GiB", "--output-bytes", "7"], Limits(tensor_bytes=1 << 30, output_bytes=7)),
        (["--process-bytes", "1TiB", "--abi-handles", "3"], Limits(process_bytes=1 << 40, abi_handles=3)),
        (["--time-limit", "2.5", "--grace-time", "1"], Limits(wall_seconds=2.5, grace_seconds=1)),
    ],
)
@pytest.mark.parametrize("subcommand", [["guest", "run"], ["train"]])
def test_limits_arrive(
    monkeypatch: pytest.MonkeyPatch, subcommand: list[str], options: list[str], limits: Limits
) -> None:
    assert limits_of(monkeypatch, [*subcommand, *options]) == limits


def test_old_names_of_limits_work_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = limits_of(monkeypatch, ["guest", "run", "--memory-pages", "100", "--handles", "9"])
    assert found == Limits(memory_pages=100, open_files=9)
    assert capsys.readouterr().err == (
        "wasmgrad: --memory-pages is now --memory SIZE; the old spelling goes with the next release\n"
        "wasmgrad: --handles is now --open-files; the old spelling goes with the next release\n"
    )


@pytest.mark.parametrize("text", ["1GB", "much", "-1", "0", "100", "5GiB"])
def test_what_is_no_size_of_a_memory_is_refused(command: Command, text: str) -> None:
    done = command("guest", "run", "--memory", text, "absent.wasm")
    assert done.returncode == 3
    assert done.stderr.startswith(f"wasmgrad: --memory: '{text}' is no ")


class Seen(Exception):
    """In place of a run: its limits."""


def limits_of(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> Limits:
    """What a command line makes of its options, up to where the run would begin."""

    def stop(guest: object, *, limits: Limits, **rest: object) -> None:
        raise Seen(limits)

    monkeypatch.setattr("wasmgrad._training.run.configure", stop)
    monkeypatch.setattr("wasmgrad._training.config.configure", stop)
    monkeypatch.setattr(sys, "argv", ["wasmgrad", *arguments, "absent.wasm"])
    with pytest.raises(Seen) as seen:
        app.main()
    found = seen.value.args[0]
    assert isinstance(found, Limits)
    return found
