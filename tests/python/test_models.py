"""The registry builds the models it names, the same ones every time."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest
import torch
import wasmgrad
from wasmgrad import models


def load(archive: bytes) -> torch.jit.ScriptModule:
    module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(archive))
    return module


@pytest.mark.parametrize("name", models.names())
def test_model_maps_its_input_shape_to_its_outputs(name: str) -> None:
    definition = models.registry[name]
    output = load(models.build(name))(torch.zeros(3, *definition.input_shape))
    assert output.shape == (3, definition.outputs)


def test_mnist_cnn_has_the_layers_of_the_earlier_project() -> None:
    shapes = [tuple(p.shape) for p in load(models.build("mnist-cnn")).parameters()]
    assert shapes == [
        (1,),
        (1,),
        (8, 1, 5, 5),
        (8,),
        (16, 8, 5, 5),
        (16,),
        (100, 12544),
        (100,),
        (10, 100),
        (10,),
    ]


def test_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (load(models.build("mlp", seed)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    models.build("lenet-5", 7)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_building_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.build("linear-regression")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        wasmgrad.NotFound, match="model 'vgg' is not in the registry; it holds mnist-cnn, lenet-5"
    ):
        models.build("vgg")


def test_cached_model_is_built_once() -> None:
    path = models.cached("linear-regression", 11)
    stamp = path.stat().st_mtime_ns
    assert models.cached("linear-regression", 11) == path
    assert path.stat().st_mtime_ns == stamp
    assert isinstance(path, Path)
