"""Guests in JavaScript and Python: built by the command, run as any guest, with the numbers of the host's trainer."""

from __future__ import annotations

import ast
import csv
import io
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmgrad
from wasmgrad import Sandbox
from wasmgrad._guests.scripts import _put_interfaces

ROOT = Path(__file__).resolve().parents[3]
SDK = ROOT / "guests/sdk"
POINTS = ROOT / "guests/templates/data/points.csv"
LANGUAGES = ("javascript", "python")
SUFFIX = {"javascript": "js", "python": "py"}

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _compiler_is_there(request: pytest.FixtureRequest) -> None:
    """Leaves out languages without a tool chain; in continuous integration there must be one."""
    language = request.node.callspec.params.get("language") if hasattr(request.node, "callspec") else None
    there = {"javascript": shutil.which("componentize-qjs"), "python": find_spec("componentize_py")}
    if not os.environ.get("CI") and (language is None or there.get(language) is None):
        for name, found in there.items():
            if language in {None, name} and found is None:
                pytest.skip(f"no compiler of {name} guests is installed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Guests that were built already."""
    return {"": tmp_path_factory.mktemp("guests")}


def template(language: str, built: dict[str, Path]) -> Path:
    if language not in built:
        folder = built[""] / language
        wasmgrad.new_guest(folder, language)
        built[language] = wasmgrad.build_guest(folder)
    return built[language]


def guest(language: str, source: str, folder: Path) -> Path:
    (folder / f"main.{SUFFIX[language]}").write_text(source)
    return wasmgrad.build_guest(folder, folder / "guest.wasm")


def weights(model: bytes | None) -> dict[str, list[float]]:
    assert model is not None
    state = torch.jit.load(io.BytesIO(model)).state_dict()
    return {name: value.flatten().tolist() for name, value in state.items()}


def expected(epochs: int) -> tuple[bytes, list[str]]:
    """What the loop of the templates does, by the host's own trainer: its best checkpoint, and what is told of it."""
    with POINTS.open(newline="") as file:
        rows = np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]], np.float32)
    data = wasmgrad.Dataset(rows[:, :8].copy(), rows[:, 8:].copy())
    training, validation = data.split([0.8, 0.2], seed=1)
    trainer = wasmgrad.Trainer(
        wasmgrad.models.build("linear-regression"),
        loss="mse",
        optimizer="adamw",
        learning_rate=0.05,
        batch_size=32,
    )
    best, best_loss, best_epoch, told = trainer.checkpoint(), np.inf, 0, []
    for epoch in range(1, epochs + 1):
        trained, judged = trainer.train_epoch(training), trainer.evaluate(validation)
        if epoch % 10 == 0:
            told.append(
                f"epoch {epoch}: training loss {trained.train.loss:.4f}, validation loss {judged.loss:.4f}"
            )
        if judged.loss < best_loss:
            best, best_loss, best_epoch = trainer.checkpoint(), judged.loss, epoch
        if epoch - best_epoch >= 5:
            break
    return best, [*told, f"best epoch {best_epoch}: validation loss {best_loss:.4f}"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_template_trains_as_the_host_does_and_stops_early(
    language: str, built: dict[str, Path], linear_model: Path, tmp_path: Path
) -> None:
    result = wasmgrad.train(
        template(language, built),
        dirs=[f"{POINTS.parent}:/data:ro", f"{tmp_path}:/out"],
        models={"model.pt": linear_model},
    )
    checkpoint, told = expected(100)
    lines = result.stdout.splitlines()
    assert lines[: len(told)] == told
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == checkpoint
    saved, kept = weights((tmp_path / "trained_model.pt").read_bytes()), weights(result.model)
    assert saved == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.safetensors", "trained_model.pt"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_owner_decides_and_grants(language: str, built: dict[str, Path], linear_model: Path) -> None:
    result = wasmgrad.train(
        template(language, built),
        args=["/elsewhere/points.csv"],
        dirs=[f"{POINTS.parent}:/elsewhere:ro"],
        models={"model.pt": linear_model},
        epochs=3,
    )
    assert len(result.epochs) == 3
    assert result.stderr.count("not saved here: ") == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_run_is_resumed_bit_by_bit(
    language: str, built: dict[str, Path], linear_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.safetensors"

    def train(epochs: int, resume: Path | None = None) -> bytes:
        grants = [f"{POINTS.parent}:/data:ro"]
        models = {"model.pt": linear_model}
        wasmgrad.train(
            template(language, built),
            dirs=grants,
            models=models,
            epochs=epochs,
            checkpoint=file,
            resume=resume,
        )
        return file.read_bytes()

    whole = train(4)
    train(2)
    assert train(4, resume=file) == whole


MISTAKE = {
    "javascript": """\
import { Model, Trainer } from 'wasmgrad:training/training@0.1.0';
export function main() {
  Trainer.create(Model.loadByName('model.pt', 'cpu'), '{"momentun": 1}');
}
""",
    "python": """\
from wasmgrad import ExecutionTarget, Model, Trainer
def main() -> None:
    Trainer.create(Model.load_by_name("model.pt", ExecutionTarget.CPU), '{"momentun": 1}')
""",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_host_s_sentence_reaches_the_console(language: str, linear_model: Path, tmp_path: Path) -> None:
    result = Sandbox(guest(language, MISTAKE[language], tmp_path), models={"model.pt": linear_model}).run()
    assert result.exit_code == 1
    assert re.match(r"error: trainer_create: .*momentun", result.stderr)


WRITE = {
    "javascript": """\
import { args, print, writeBytes } from 'wasmgrad';
export function main() {
  try {
    writeBytes('/data/new', new Uint8Array(1));
    print('written');
  } catch (error) {
    print('refused');
  }
  while (args().length);
}
""",
    "python": """\
from wasmgrad import args
def main() -> None:
    try:
        open("/data/new", "wb").close()
        print("written", flush=True)
    except OSError:
        print("refused", flush=True)
    while args():
        pass
""",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_limits_and_grants_are_those_of_any_guest(language: str, tmp_path: Path) -> None:
    module = guest(language, WRITE[language], tmp_path)
    data = tmp_path / "granted"
    data.mkdir()
    grants = [f"{data}:/data:ro"]
    assert Sandbox(module, dirs=grants).run().stdout == "refused\n"
    assert list(data.iterdir()) == []
    with pytest.raises(wasmgrad.TimeLimit):
        Sandbox(module, args=["loop"], dirs=grants, limits=wasmgrad.Limits(wall_seconds=3)).run()
    with pytest.raises(
        wasmgrad.TooLarge, match=r"needs \d+ pages of memory at its start; at most 8 are allowed"
    ):
        Sandbox(module, limits=wasmgrad.Limits(memory_pages=8)).run()


@pytest.mark.parametrize("language", ["javascript"])
def test_wasmedge_refuses_components_by_a_sentence(language: str, built: dict[str, Path]) -> None:
    with pytest.raises(
        wasmgrad.Unsupported, match=r"is a component, and the engine wasmedge .* runs modules only"
    ):
        Sandbox(template(language, built), engine="wasmedge").run()


def signatures(source: str) -> dict[str, list[str]]:
    """Class.method -> names of its arguments; class -> names of its fields or cases."""
    found: dict[str, list[str]] = {}
    for declared in ast.parse(source).body:
        if not isinstance(declared, ast.ClassDef):
            continue
        fields = [ast.unparse(part.target) for part in declared.body if isinstance(part, ast.AnnAssign)]
        cases = [ast.unparse(part.targets[0]) for part in declared.body if isinstance(part, ast.Assign)]
        found[declared.name] = fields + cases
        for part in declared.body:
            if isinstance(part, ast.FunctionDef) and not part.name.startswith("__"):
                found[f"{declared.name}.{part.name}"] = [argument.arg for argument in part.args.args]
    return found


@pytest.mark.parametrize("language", ["python"])
def test_python_types_are_those_of_the_compiler(language: str, tmp_path: Path) -> None:
    wit = _put_interfaces(tmp_path / "wit")
    program = [sys.executable, "-c", "from componentize_py import script; script()", "--wit-path", str(wit)]
    subprocess.run(
        [*program, "--world", "program", "bindings", str(tmp_path / language)],
        check=True,
        capture_output=True,
    )
    generated = (tmp_path / language / "wit_world/imports/training.py").read_text()
    ours = (SDK / "python/typings/wit_world/imports/training.pyi").read_text()
    assert signatures(ours) == signatures(generated)


NAMES = """\
import { print } from 'wasmgrad';
import * as training from 'wasmgrad:training/training@0.1.0';
export function main() {
  for (const [name, value] of Object.entries(training)) {
    if (typeof value !== 'function') continue;
    for (const method of [...Object.getOwnPropertyNames(value), ...Object.getOwnPropertyNames(value.prototype)]) {
      print(`${name}.${method}`);
    }
  }
}
"""


@pytest.mark.parametrize("language", ["javascript"])
def test_javascript_types_are_those_of_the_compiler(language: str, tmp_path: Path) -> None:
    there = set(Sandbox(guest(language, NAMES, tmp_path)).run().stdout.split())
    declared = (SDK / "javascript/wasmgrad/training.d.ts").read_text()
    named = {
        f"{found[1]}.{method}"
        for found in re.finditer(r"export class (\w+) \{(.*?)\n  \}", declared, re.DOTALL)
        for method in re.findall(r"^    (?:static )?(\w+)\(", found[2], re.MULTILINE)
    }
    assert len(named) > 20
    assert named <= there


def test_missing_compilers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(wasmgrad.NotFound, match="npm install componentize-qjs"):
        guest("javascript", "export function main() {}", tmp_path)
    (tmp_path / "main.js").unlink()
    with pytest.raises(wasmgrad.NotFound, match="pip install"):
        guest("python", "def main(): ...", tmp_path)
