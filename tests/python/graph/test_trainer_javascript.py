"""`guests/web/host/trainer.js` in Node: training modules step, evaluate, predict, and keep what they learnt."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import wasmgrad
from torch import nn
from wasmgrad import TrainingModule
from wasmgrad._files import find_part
from wasmgrad._training.step_options import TrainOptions
from wasmgrad.compiler import CompileOptions, compile_model

pytestmark = pytest.mark.node

LIBRARY = find_part("guests/web/host/trainer.js", "guests/web/host/trainer.js")
BATCH, INPUTS, CLASSES = 6, 5, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a training module and data for it."""
    made = tmp_path_factory.mktemp("trainer")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(INPUTS, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    options = CompileOptions(
        shapes={"input": (BATCH, INPUTS)}, train=TrainOptions(optimizer="adam", learning_rate=0.01, top_k=2)
    )
    compile_model(model, options).save(made / "net.train.wasm")
    return made


def data(rows: int, seed: int) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    return draw.standard_normal((rows, INPUTS)).astype(np.float32), draw.integers(0, CLASSES, rows)


def node(script: str, folder: Path) -> Any:
    """What an ES module prints as JSON, with `trainer` and `arrays(x, y)` at hand."""
    program = f"""
      import {{ readFileSync, writeFileSync }} from "node:fs";
      import {{ loadTrainer }} from {json.dumps(LIBRARY.as_uri())};
      const trainer = await loadTrainer("net.train.wasm");
      const kindOf = (action) => {{
        try {{ action(); return "no error"; }} catch (error) {{ return `${{error.kind}}: ${{error.message}}`; }}
      }};
      const arrays = ([x, y]) => [{{ input: Float32Array.from(x) }}, Int32Array.from(y)];
      {script}"""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", program],
        capture_output=True, text=True, cwd=folder, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def listed(rows: int, seed: int) -> str:
    x, y = data(rows, seed)
    return json.dumps([x.ravel().tolist(), y.tolist()])


def test_a_run_is_that_of_the_module_in_python(folder: Path) -> None:
    module = wasmgrad.load(folder / "net.train.wasm")
    assert isinstance(module, TrainingModule)
    batches = [(BATCH, 0), (2, 1), (BATCH, 2)]
    steps = "".join(f"told.push(trainer.step(...arrays({listed(*batch)})));" for batch in batches)
    told, evaluated, predicted = node(
        f"""const told = []; {steps}
        const evaluated = trainer.evaluate(...arrays({listed(2 * BATCH + 1, 3)}));
        const predicted = [...trainer.predict(arrays({listed(BATCH + 2, 4)})[0]).output];
        writeFileSync("weights.safetensors", trainer.saveWeights());
        writeFileSync("run.safetensors", trainer.save());
        console.log(JSON.stringify([told, evaluated, predicted]));""",
        folder,
    )
    for found, batch in zip(told, batches, strict=True):
        wanted = module.step(*data(*batch))
        assert found["loss"] == pytest.approx(wanted.loss, rel=1e-6)
        assert found["samples"] == wanted.samples
        assert found["accuracy"] == pytest.approx(wanted.accuracy)
        assert found["topKAccuracy"] == pytest.approx(wanted.top_k_accuracy)
    assert evaluated["loss"] == pytest.approx(module.evaluate(*data(2 * BATCH + 1, 3)).loss, rel=1e-6)
    wanted_rows = module.predict(data(BATCH + 2, 4)[0])
    np.testing.assert_allclose(np.reshape(predicted, (-1, CLASSES)), wanted_rows, rtol=1e-5, atol=1e-6)
    weights = safetensors.numpy.load_file(folder / "weights.safetensors")
    for name, array in module.state_dict().items():
        np.testing.assert_allclose(weights[name], array, rtol=1e-5, atol=1e-7)
    module.close()


def test_what_was_saved_goes_on(folder: Path) -> None:
    first, again, rate = node(
        f"""trainer.step(...arrays({listed(BATCH, 0)}));
        const saved = trainer.save();
        trainer.set("learning_rate", 0.5);
        const first = trainer.step(...arrays({listed(BATCH, 1)})).loss;
        trainer.load(saved);
        const again = trainer.step(...arrays({listed(BATCH, 1)})).loss;
        trainer.loadWeights(trainer.saveWeights());
        console.log(JSON.stringify([first, again, trainer.get("learning_rate")]));""",
        folder,
    )
    assert first == again
    assert rate == 0.5


def test_failures_are_a_sentence_and_leave_the_state(folder: Path) -> None:
    said, same = node(
        f"""const before = trainer.save();
        const [inputs, target] = arrays({listed(BATCH, 0)});
        const bad = inputs.input.slice().fill(NaN, 0, 1);
        const said = [
          kindOf(() => trainer.step(inputs, target.slice().fill(7, 2, 3))),
          kindOf(() => trainer.step({{ input: bad }}, target)),
          kindOf(() => trainer.step(...arrays({listed(BATCH + 1, 0)}))),
          kindOf(() => trainer.step(inputs, target.subarray(1))),
          kindOf(() => trainer.step({{ x: bad }}, target)),
          kindOf(() => trainer.step(inputs, Float32Array.from(target, (value) => value + 0.5))),
          kindOf(() => trainer.set("momentum", 1)),
          kindOf(() => trainer.set("learning_rate", NaN)),
          kindOf(() => trainer.setWeights({{}})),
          kindOf(() => trainer.load(new Uint8Array(3))),
        ];
        console.log(JSON.stringify([said, Buffer.compare(before, trainer.save()) === 0]));""",
        folder,
    )
    assert same
    expected = [
        "invalid_argument: a target is none of the 3 classes, which are 0 to 2",
        "runtime_error: the loss is NaN; training cannot go on",
        "invalid_argument: a step takes 1 to 6 rows, not 7",
        "invalid_argument: the arrays of input,target have 6,5 rows",
        "invalid_argument: step takes input,target; input,x is missing, or too much",
        'invalid_argument: input "target": expected int64 as BigInt64Array, got Float32Array',
        'invalid_argument: "momentum" cannot be changed',
        "invalid_argument: learning_rate: expected a finite number of at least 0, not NaN",
        "invalid_argument: the weights lack 0.weight",
        "invalid_encoding: not a safetensors file: it is too short",
    ]
    for text, begin in zip(said, expected, strict=True):
        assert text.startswith(begin)
