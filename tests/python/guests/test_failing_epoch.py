"""A guest whose epoch meets a batch that cannot be trained: what is kept, and what the guest is told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
import wasmgrad

GUEST = """
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "wasmgrad/training_v1.hpp"

using namespace wasmgrad::v1;

int main(int argc, char** argv) {
  std::vector<float> x(64 * 8), y(64, 1.0f);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) / 7;
  x[40 * 8] = NAN;  // in the third batch
  Dataset data = Dataset::create().value();
  data.append(Tensor(x, {64, 8}), Tensor(y, {64, 1})).value();
  const Model model = Model::load_by_name("model.pt").value();
  TrainerOptions options;
  options.optimizer = {.name = "sgd", .learning_rate = 0.1};
  options.losses = {{.name = "mse"}};
  options.batch_size = 16;
  options.shuffle = false;
  if (argc > 1 && std::strcmp(argv[1], "restore") == 0) options.restore_on_error = true;
  Trainer trainer = Trainer::create(model, options).value();
  const auto done = trainer.epoch(data);
  std::printf("%s\\n", done ? "done" : done.error().message().c_str());
  std::printf("step %u\\n", static_cast<unsigned>(trainer.progress().value().step));
  // What can be trained goes on from there.
  std::vector<float> good_x(16 * 8, 0.5f), good_y(16, 1.0f);
  Dataset good = Dataset::create().value();
  good.append(Tensor(good_x, {16, 8}), Tensor(good_y, {16, 1})).value();
  trainer.epoch(good).value();
  std::printf("went on\\n");
}
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guest")
    (folder / "main.cpp").write_text(GUEST)
    return wasmgrad.build_guest(folder, folder / "guest.wasm")


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
@pytest.mark.parametrize(("mode", "steps"), [("keep", 2), ("restore", 0)])
def test_failing_batch_leaves_no_trace(
    guest: Path, linear_model: Path, mode: str, steps: int, engine: str
) -> None:
    result = wasmgrad.train(guest, args=[mode], models={"model.pt": linear_model}, engine=engine, threads=1)
    said, step, went_on = result.stdout.splitlines()
    assert "epoch 1, batch 3: the loss is nan" in said
    assert ("2 steps of this call were completed and kept" in said) == (steps == 2)
    assert (step, went_on) == (f"step {steps}", "went on")

    model = torch.jit.load(linear_model).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = (torch.arange(64 * 8) % 7 / 7).view(64, 8)
    for begin in range(0, 16 * steps, 16):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x[begin : begin + 16]), torch.ones(16, 1)).backward()
        optimizer.step()
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(model(torch.full((16, 8), 0.5)), torch.ones(16, 1)).backward()
    optimizer.step()
    found = torch.jit.load(io.BytesIO(result.model)).state_dict()
    torch.testing.assert_close(dict(found), dict(model.state_dict()), rtol=1e-6, atol=1e-6)
