"""Graph modules from Python: what `load` refuses before anything runs, and how a module is called and saved."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmtime
from wasmgrad import (
    Error,
    InvalidArgument,
    InvalidEncoding,
    NotFound,
    RuntimeFailure,
    TooLarge,
    Unsupported,
)
from wasmgrad._graph.format import wasm
from wasmgrad._graph.format.file import GraphFile
from wasmgrad._graph.format.metadata import SECTION
from wasmgrad._graph.module import GraphModule, load

from .conftest import METADATA, WEIGHTS, MakeModule

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def loaded(module: bytes) -> GraphModule:
    return load(module)


@pytest.fixture
def apart(make_module: MakeModule, metadata: dict[str, Any]) -> bytes:
    """The sums with their weights in a file."""
    metadata["weights"]["mode"] = "file"
    return make_module("WEIGHTS={0}", metadata=metadata)


def test_a_module_knows_its_tensors(loaded: GraphModule) -> None:
    assert [info.name for info in loaded.inputs] == ["a", "b", "n"]
    assert [info.name for info in loaded.outputs] == ["sum", "count"]


def test_a_module_shows_what_it_is(loaded: GraphModule) -> None:
    assert repr(loaded).startswith("<GraphModule sums on wasmtime: a: float32[2, 3],")


def test_outputs_are_a_tuple_in_order(loaded: GraphModule, arrays: Arrays) -> None:
    total, count = loaded(**arrays)
    np.testing.assert_array_equal(total, arrays["a"] + arrays["b"] + WEIGHTS.reshape(2, 3))
    assert count == 42


def test_a_single_output_is_an_array(colors: bytes) -> None:
    picture = np.zeros((1, 3, 8, 8), np.float32)
    picture[:, 1] = 0.5
    np.testing.assert_array_equal(load(colors)(picture), [[0, 0.5, 0]])


def test_positions_and_names_mix(loaded: GraphModule, arrays: Arrays) -> None:
    total, _ = loaded(arrays["a"], n=arrays["n"], b=arrays["b"])
    np.testing.assert_array_equal(total, loaded(**arrays)[0])


def test_torch_tensors_are_taken(loaded: GraphModule, arrays: Arrays) -> None:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors["a"].requires_grad_()
    np.testing.assert_array_equal(loaded(**tensors)[0], loaded(**arrays)[0])


def test_strided_arrays_are_taken(loaded: GraphModule, arrays: Arrays) -> None:
    strided = arrays | {"a": np.asfortranarray(arrays["a"]), "b": np.repeat(arrays["b"], 2, axis=1)[:, ::2]}
    np.testing.assert_array_equal(loaded(**strided)[0], loaded(**arrays)[0])


def test_results_stay_as_they_are_during_the_next_run(loaded: GraphModule, arrays: Arrays) -> None:
    first = loaded(**arrays)[0]
    before = first.copy()
    loaded(**arrays | {"a": arrays["a"] + 1})
    np.testing.assert_array_equal(first, before)


def test_a_profile_has_a_time_for_each_call(loaded: GraphModule, arrays: Arrays) -> None:
    times = loaded.profile(**arrays)
    assert len(times) == 2 and all(seconds >= 0 for seconds in times)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"c": np.zeros(1)}, "there is no input 'c'; the inputs are a: float32"),
        ({"a": np.zeros((2, 3))}, "input 'a': expected dtype float32, got float64"),
        ({"a": np.zeros((2, 3), ">f4")}, "input 'a': expected dtype float32, got >f4"),
        ({"a": np.zeros((3, 2), np.float32)}, r"input 'a': expected shape \[2, 3\], got \[3, 2\]"),
        ({"n": np.zeros(1, np.int64)}, r"input 'n': expected shape \[\], got \[1\]"),
        ({"b": "text"}, "input 'b': expected dtype float32"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    loaded: GraphModule, arrays: Arrays, change: Arrays, sentence: str
) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        loaded(**arrays | change)


def test_a_missing_input_is_named(loaded: GraphModule, arrays: Arrays) -> None:
    with pytest.raises(InvalidArgument, match="no array for 'b', 'n'"):
        loaded(arrays["a"])


def test_an_input_given_twice_is_refused(loaded: GraphModule, arrays: Arrays) -> None:
    with pytest.raises(InvalidArgument, match="by position and by name"):
        loaded(arrays["a"], **arrays)


def test_too_many_arrays_are_refused(loaded: GraphModule, arrays: Arrays) -> None:
    with pytest.raises(InvalidArgument, match="4 arrays for 3 inputs"):
        loaded(*arrays.values(), arrays["a"])


def test_an_input_that_does_not_fit_leaves_all_inputs_alone(loaded: GraphModule, arrays: Arrays) -> None:
    expected = loaded(**arrays)[0]
    with pytest.raises(InvalidArgument):
        loaded(**arrays | {"a": arrays["a"] + 1, "n": "text"})
    loaded.run()
    np.testing.assert_array_equal(loaded.results()[0], expected)


def test_a_saved_module_is_the_same_file(module: bytes, tmp_path: Path) -> None:
    load(module).save(tmp_path / "copy.wasm")
    assert (tmp_path / "copy.wasm").read_bytes() == module


def test_a_module_from_a_file_can_be_saved_elsewhere(module: bytes, tmp_path: Path) -> None:
    source = tmp_path / "module.wasm"
    source.write_bytes(module)
    loaded = load(source)
    source.unlink()
    loaded.save(tmp_path / "copy.wasm")
    assert (tmp_path / "copy.wasm").read_bytes() == module


def test_saving_to_no_directory_fails(loaded: GraphModule, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="cannot be written"):
        loaded.save(tmp_path / "none" / "copy.wasm")


def test_an_unknown_engine_is_refused(module: bytes) -> None:
    with pytest.raises(InvalidArgument, match="engine 'v9': expected one of wasmtime, wasmedge, node"):
        load(module, engine="v9")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.wasm: this graph module does not exist"):
        load(tmp_path / "none.wasm")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("contents", [b"", b"PK\3\4 something else"])
def test_another_file_is_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "model.wasm"
    path.write_bytes(contents)
    with pytest.raises(InvalidEncoding, match=r"model\.wasm: not a WebAssembly module"):
        load(path)


def test_a_module_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InvalidEncoding, match="not a graph module: it has no custom section"):
        load(bytes(wasmtime.wat2wasm("(module)")))


def test_a_newer_abi_is_refused(make_module: MakeModule, metadata: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="graph ABI 2"):
        load(make_module(metadata=metadata | {"abi": 2}))


def test_a_missing_export_is_named(make_module: MakeModule) -> None:
    with pytest.raises(InvalidEncoding, match="does not export the function 'graph_run'"):
        load(make_module("NO_RUN"))


def test_a_module_with_imports_is_refused() -> None:
    importing = bytes(wasmtime.wat2wasm('(module (import "m" "f" (func)))'))
    with pytest.raises(InvalidEncoding, match="it has 1 imports; expected none"):
        load(wasm.with_custom(importing, SECTION, json.dumps(METADATA).encode()))


def test_a_memory_that_can_grow_is_refused(bare_module: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidEncoding, match="not of one fixed size"):
        load(wasm.with_custom(bare_module("sums"), SECTION, json.dumps(METADATA).encode()))


def test_a_memory_smaller_than_the_metadata_says_is_refused(make_module: MakeModule) -> None:
    with pytest.raises(InvalidEncoding, match="bytes is 262144; expected at most the 196608 bytes"):
        load(make_module(pages=3))


def test_a_module_that_needs_more_memory_than_allowed_is_refused(module: bytes) -> None:
    with pytest.raises(TooLarge, match="needs 262,144 bytes of memory; 200,000 are allowed"):
        load(module, max_memory=200_000)


def test_a_module_that_needs_the_allowed_memory_runs(module: bytes, arrays: Arrays) -> None:
    assert load(module, max_memory=4 * wasm.PAGE)(**arrays)[1] == 42


def test_no_damage_to_a_module_ends_in_another_error(module: bytes) -> None:
    generator = random.Random(11)
    for _ in range(1000):
        damaged = bytearray(module)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(8, len(damaged))] = generator.randrange(256)
        try:
            GraphFile(bytes(damaged))
        except Error:
            continue


class TestWeightsApart:
    """Modules whose weights are in a file of their own."""

    def test_weights_are_found_beside_the_module(self, apart: bytes, tmp_path: Path, arrays: Arrays) -> None:
        (tmp_path / "model.wasm").write_bytes(apart)
        (tmp_path / "model.weights").write_bytes(WEIGHTS.tobytes())
        total, _ = load(tmp_path / "model.wasm")(**arrays)
        np.testing.assert_array_equal(total, arrays["a"] + arrays["b"] + WEIGHTS.reshape(2, 3))

    def test_weights_may_be_given_as_bytes(self, apart: bytes, arrays: Arrays) -> None:
        assert load(apart, weights=WEIGHTS.tobytes())(**arrays)[0][0, 0] == 10

    def test_a_missing_weights_file_is_named(self, apart: bytes, tmp_path: Path) -> None:
        (tmp_path / "model.wasm").write_bytes(apart)
        with pytest.raises(NotFound, match=r"model\.weights: this weights file does not exist"):
            load(tmp_path / "model.wasm")

    def test_a_module_in_memory_must_be_given_its_weights(self, apart: bytes) -> None:
        with pytest.raises(InvalidArgument, match="its weights are in a file, and none was given"):
            load(apart)

    def test_truncated_weights_are_refused(self, apart: bytes) -> None:
        with pytest.raises(InvalidEncoding, match="weights file: has 20 bytes; graph module expects 24"):
            load(apart, weights=WEIGHTS[:5].tobytes())

    def test_weights_of_another_model_are_refused(self, apart: bytes) -> None:
        with pytest.raises(InvalidEncoding, match="not the weights of graph module: their SHA-256 is"):
            load(apart, weights=(WEIGHTS + 1).tobytes())

    def test_weights_for_a_module_that_holds_them_are_refused(self, module: bytes) -> None:
        with pytest.raises(InvalidArgument, match="holds its weights itself"):
            load(module, weights=WEIGHTS.tobytes())

    def test_saving_writes_both_files(self, apart: bytes, tmp_path: Path, arrays: Arrays) -> None:
        load(apart, weights=WEIGHTS.tobytes()).save(tmp_path / "copy.wasm")
        assert load(tmp_path / "copy.wasm")(**arrays)[1] == 42


def test_a_sparse_file_with_a_huge_section_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.wasm"
    module = wasm.with_custom(b"\0asm\1\0\0\0", SECTION, b"{}") + b"\1\x80\x80\x80\x80\x0c"
    path.write_bytes(module)
    os.truncate(path, len(module) + (3 << 30))
    with pytest.raises(TooLarge, match=r"sparse\.wasm: the module has"):
        load(path)
