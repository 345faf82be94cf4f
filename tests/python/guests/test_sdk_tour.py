"""Every function of the SDKs: a guest in each language calls them all, and torch says what must come back."""

from __future__ import annotations

import io
import json
import os
import re
import struct
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[3]
SDK = ROOT / "guests/sdk"
SOURCES = {
    "cpp": ROOT / "tests/guests/sdk_tour_cpp",
    "rust": ROOT / "tests/guests/sdk_tour_rust",
    "assemblyscript": ROOT / "tests/guests/sdk_tour_as",
}
OPTIONS = [
    {
        "optimizer": {
            "name": "adamw",
            "learning_rate": 0.01,
            "weight_decay": 0.1,
            "beta1": 0.8,
            "beta2": 0.9,
            "epsilon": 1e-6,
        },
        "loss": {"class": {"name": "cross_entropy"}, "value": {"name": "mse", "weight": 0.5}},
        "schedule": {"name": "cosine", "warmup_epochs": 1, "minimum_factor": 0.1},
        "epochs": 5,
        "batch_size": 4,
        "predict_batch_size": 3,
        "batches_per_epoch": 2,
        "drop_last": True,
        "shuffle": True,
        "seed": 7,
        "restore_on_error": True,
        "precision": "f32",
        "rewrites": True,
        "threads": 1,
        "accumulate": 2,
        "clip_norm": 1.5,
        "clip_value": 0.5,
        "top_k": 2,
        "early_stopping": {"patience": 3, "min_delta": 0.01, "restore_best": False},
        "inputs": {"x": {"scale": 0.5, "offset": 1}},
        "freeze": ["regressor.*"],
    },
    {
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True},
        "loss": "cross_entropy",
        "schedule": {"name": "step", "step_epochs": 2, "gamma": 0.5},
    },
    {"optimizer": {"name": "rmsprop", "momentum": 0.5, "alpha": 0.9}},
    {
        "optimizer": {
            "name": "adamw",
            "groups": [
                {"parameters": "*.bias", "learning_rate": 0.001, "weight_decay": 0},
                {"parameters": "regressor.*", "weight_decay": 0.5},
            ],
        },
        "loss": "cross_entropy",
        "class_weights": [1, 0.5, 2],
        "ignore_index": -1,
        "label_smoothing": 0.1,
        "pos_weight": [3],
        "huber_delta": 0.5,
        "focal_gamma": 1.5,
        "focal_alpha": 0.75,
    },
    {"optimizer": {"name": "sgd"}, "lora": ["classifier.*:2:4", "*:1"]},
]


class TwoOutputs(nn.Module):
    """[N, 4] to {"class": 3 logits, "value": 1 number}."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classifier = nn.Linear(4, 3)
        self.regressor = nn.Linear(4, 1)
        self.register_buffer("shift", torch.zeros(1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"class": self.classifier(x), "value": self.regressor(x) + self.shift}


class Reference:
    """What the guests do, done with torch: plain gradient descent on rows that both make alike."""

    def __init__(self) -> None:
        self.module = TwoOutputs()
        self.features = torch.tensor([(i * 7 % 13) / 13 - 0.5 for i in range(48)]).reshape(12, 4)

    def parameters(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.module.parameters()).detach()

    def set_parameters(self, values: Tensor) -> None:
        nn.utils.vector_to_parameters(values, self.module.parameters())

    def outputs(self) -> list[float]:
        outputs = self.module(self.features[:2])
        return [float(value) for name in ("class", "value") for value in outputs[name].detach().flatten()]

    def gradients(self, first: int) -> tuple[float, Tensor]:
        """Of the loss of four rows, and that loss."""
        rows = range(first, first + 4)
        outputs = self.module(self.features[first : first + 4])
        values = torch.tensor([[float(i % 2)] for i in rows])
        loss = functional.cross_entropy(outputs["class"], torch.tensor([i % 3 for i in rows]))
        loss = loss + 0.5 * functional.mse_loss(outputs["value"], values)
        gradients = torch.autograd.grad(loss, list(self.module.parameters()))
        return float(loss.detach()), torch.cat([gradient.flatten() for gradient in gradients])

    def step(self, first: int, learning_rate: float) -> float:
        loss, gradients = self.gradients(first)
        self.set_parameters(self.parameters() - learning_rate * gradients)
        return loss


class Tour:
    """The lines of a guest, by their first word, and the weights that it exported."""

    def __init__(self, output: str, exported: bytes) -> None:
        self.lines: dict[str, list[str]] = defaultdict(list)
        for line in output.splitlines():
            name, _, rest = line.partition(" ")
            self.lines[name].append(rest)
        (length,) = struct.unpack_from("<Q", exported)
        self.header = json.loads(exported[8 : 8 + length])
        self.weights = exported[8 + length :]

    def numbers(self, name: str) -> list[list[float]]:
        return [[float(text) for text in line.split()] for line in self.lines[name]]

    def outputs(self, name: str) -> list[float]:
        """Elements of both outputs of a prediction, whose type and shapes are checked."""
        first, second = self.numbers(name)
        assert first[:3] == [1, 2, 3]
        assert second[:3] == [1, 2, 1]
        return first[3:] + second[3:]


def near(values: Tensor | list[float]) -> object:
    return pytest.approx([float(value) for value in values], abs=3e-6)


@pytest.fixture(scope="module", params=SOURCES)
def tour(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tour:
    folder = tmp_path_factory.mktemp("tour")
    try:
        guest = wasmgrad.build_guest(SOURCES[request.param], folder / "tour.wasm")
    except wasmgrad.NotFound as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(missing.message)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(TwoOutputs()), buffer)
    data = folder / "data"
    data.mkdir()
    (data / "model.pt").write_bytes(buffer.getvalue())
    result = wasmgrad.Sandbox(guest, dirs=[f"{data}:/data"]).run(config={"note": "größer"})
    assert result.exit_code == 0, result.stderr
    assert result.reports == {"recall": 0.25}
    return Tour(result.stdout, (data / "weights.safetensors").read_bytes())


def test_options_become_the_json_that_the_host_reads(tour: Tour) -> None:
    assert [json.loads(text) for text in tour.lines["options"]] == OPTIONS


def test_blocks_of_rows_of_every_element_type_are_appended(tour: Tour) -> None:
    assert tour.numbers("rows") == [[12]]
    assert tour.numbers("types") == [[1]]


def test_dataset_is_split(tour: Tour) -> None:
    assert tour.numbers("parts") == [[6, 3, 3]]


def test_prediction_has_every_output_with_type_and_shape(tour: Tour) -> None:
    assert tour.outputs("predict") == near(Reference().outputs())


def test_gradients_and_parameters_are_read_and_replaced(tour: Tour) -> None:
    reference = Reference()
    initial = reference.parameters()
    (one, first), (other, second) = reference.gradients(0), reference.gradients(4)
    assert tour.numbers("backward") == [near([one, 4, 0]), near([other, 4, 0])]
    mean = (first + second) / 2
    assert tour.numbers("gradients") == [near(mean)]
    assert tour.numbers("applied") == [near(initial - 0.1 * 2 * mean)]
    assert tour.numbers("replaced") == [near(initial)]


def test_buffers_are_read_and_replaced(tour: Tour) -> None:
    assert tour.numbers("buffers") == [[0], [1.5]]


def test_steps_and_epochs_train(tour: Tour) -> None:
    reference = Reference()
    loss = reference.step(0, 0.05)
    assert tour.numbers("step") == [near([loss, 0.05, 4, 2])]
    assert tour.numbers("stepped") == [near(reference.parameters())]
    losses = [reference.step(first, 0.05) for first in (0, 4, 8)]
    assert tour.numbers("epoch") == [near([sum(losses) / 3, 12, 5, 1])]
    assert tour.numbers("trained") == [near(reference.parameters())]


def test_checkpoint_is_restored(tour: Tour) -> None:
    assert tour.numbers("restored") == [[1]]


def test_fit_and_evaluate_report_what_they_did(tour: Tour) -> None:
    assert tour.numbers("fit") == [[2, 0, 6, 3, 3]]
    assert tour.numbers("alone") == [[1, 0]]
    assert tour.numbers("evaluate") == [[3, 4]]


def test_the_owner_s_configuration_is_read(tour: Tour) -> None:
    assert tour.lines["config"] == ["größer"]
    assert tour.numbers("unset") == [[7]]  # not found


def test_progress_says_where_the_trainer_stands(tour: Tour) -> None:
    (progress,) = tour.numbers("progress")
    assert progress[0] == 4
    assert progress[2] in (2, 3, 4)  # the first epoch was no fit's


def test_exported_models_have_the_trained_weights(tour: Tour) -> None:
    assert tour.outputs("again") == tour.outputs("last")
    reference = Reference()
    for name, parameter in reference.module.named_parameters():
        begin, end = tour.header[name]["data_offsets"]
        values = np.frombuffer(tour.weights[begin:end], np.float32).reshape(parameter.shape)
        parameter.data.copy_(torch.from_numpy(values.copy()))
    assert tour.outputs("last") == near(reference.outputs())


def test_failure_has_its_number_and_the_host_s_sentence(tour: Tour) -> None:
    (absent,), (speed,) = tour.lines["absent"], tour.lines["speed"]
    assert absent.startswith("7 model_load_by_name: ")
    assert "'absent'" in absent
    assert speed.startswith("7 trainer_set: ")


def functions_of(language: str) -> set[str]:
    """Names of the functions that guests call, from the sources of an SDK."""
    if language == "rust":
        files = [
            SDK / "rust/src" / f"{name}.rs"
            for name in ("model", "dataset", "trainer", "tensor", "options", "error")
        ]
        pattern = r"^    pub fn (\w+)|^pub fn (\w+)"
    elif language == "assemblyscript":
        files = [
            SDK / "assemblyscript/wasmgrad" / f"{name}.ts"
            for name in ("model", "dataset", "trainer", "tensor", "options")
        ]
        pattern = r"^  (?:static )?(?:get )?(\w+)(?:<[^>]*>)?\([^)]*\): |^export function (\w+)"
    else:
        files = [SDK / "include/wasmgrad/training_v1.hpp"]
        pattern = r"^  (?:\[\[nodiscard\]\] )?(?:static )?Result<[\w:<>]+> (\w+)\("
    text = "\n".join(file.read_text() for file in files)
    names = {next(filter(None, found.groups())) for found in re.finditer(pattern, text, re.MULTILINE)}
    return names - {"records", "measured"}  # of the SDKs themselves


@pytest.mark.parametrize("language", SOURCES)
def test_guest_calls_every_function_of_its_sdk(language: str) -> None:
    functions = functions_of(language)
    assert len(functions) >= 20
    calls = "".join(
        file.read_text() for file in SOURCES[language].rglob("*") if file.suffix in (".cpp", ".rs", ".ts")
    )
    assert sorted(name for name in functions if not re.search(rf"\b{name}\b", calls)) == []
