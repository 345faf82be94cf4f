"""One model on many inputs: workers, order, errors of single inputs, and instances in other processes."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wasmgrad import InvalidArgument, NotFound, load
from wasmgrad._graph.engines import ENGINES

from .conftest import WEIGHTS, MakeModule

Arrays = dict[str, Any]

_WASM_ENGINES = [engine for engine in ENGINES if engine != "native"]


def numbered(arrays: Arrays, count: int) -> list[Arrays]:
    """Inputs that tell which one they are."""
    return [arrays | {"a": np.full_like(arrays["a"], number)} for number in range(count)]


def total_of(given: Arrays) -> Any:
    return given["a"] + given["b"] + WEIGHTS.reshape(2, 3)


@pytest.mark.parametrize("engine", _WASM_ENGINES)
@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_inputs(
    module: bytes, arrays: Arrays, engine: str, workers: int
) -> None:
    inputs = numbered(arrays, 20)
    outcomes = list(load(module, engine).map(inputs, workers))
    assert [outcome.input for outcome in outcomes] == inputs
    for outcome in outcomes:
        np.testing.assert_array_equal(outcome.get()[0], total_of(outcome.input))


def test_one_bad_input_does_not_end_the_others(module: bytes, arrays: Arrays) -> None:
    inputs = numbered(arrays, 6)
    inputs[2] = inputs[2] | {"a": np.zeros(7, np.float32)}
    outcomes = list(load(module).map(inputs, 2))
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True, True, True]
    with pytest.raises(InvalidArgument, match="expected shape"):
        outcomes[2].get()


def test_inputs_are_taken_as_they_are_needed(module: bytes, arrays: Arrays) -> None:
    taken = itertools.count()

    def endless() -> Iterator[Arrays]:
        while True:
            next(taken)
            yield arrays

    results = load(module).map(endless(), 2)
    for _ in range(10):
        next(results)
    assert next(taken) < 20
    before = threading.active_count()
    results.close()
    assert threading.active_count() <= before


def test_files_of_arrays_become_results(module: bytes, arrays: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    found, missing = load(module).map([tmp_path / "x.npz", "absent.npz"], 2)
    np.testing.assert_array_equal(found.get().outputs["sum"], total_of(arrays))
    assert isinstance(missing.error, NotFound)


def test_there_is_a_worker(module: bytes) -> None:
    with pytest.raises(InvalidArgument, match="workers: 0 are too few"):
        list(load(module).map([], 0))


@pytest.mark.parametrize("where", ["bytes", "file", "file with weights"])
def test_another_process_loads_a_pickled_module_again(
    make_module: MakeModule, metadata: dict[str, Any], arrays: Arrays, tmp_path: Path, where: str
) -> None:
    if where == "file with weights":
        metadata["weights"]["mode"] = "file"
        source: Any = tmp_path / "x.wasm"
        source.write_bytes(make_module("WEIGHTS={0}", metadata=metadata))
        source.with_suffix(".weights").write_bytes(WEIGHTS.tobytes())
    else:
        source = make_module(metadata=metadata)
        if where == "file":
            (tmp_path / "x.wasm").write_bytes(source)
            source = tmp_path / "x.wasm"
    (tmp_path / "pickled").write_bytes(pickle.dumps(load(source)))
    np.savez(tmp_path / "x.npz", **arrays)
    program = (
        "import pickle, numpy as np; "
        "np.save('y.npy', pickle.load(open('pickled', 'rb'))(**np.load('x.npz'))[0])"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), total_of(arrays))


def test_eight_processes_that_start_at_once_share_an_empty_cache(
    module: bytes, arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WASMGRAD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x.wasm").write_bytes(module)
    program = "import sys, numpy as np, wasmgrad; print(wasmgrad.load(sys.argv[1])(**np.load(sys.argv[2]))[0].sum())"
    np.savez(tmp_path / "x.npz", **arrays)
    line = [sys.executable, "-c", program, str(tmp_path / "x.wasm"), str(tmp_path / "x.npz")]
    started = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    sums = {process.communicate(timeout=120)[0] for process in started}
    assert all(process.returncode == 0 for process in started)
    assert sums == {f"{total_of(arrays).sum()}\n"}


def test_a_file_that_became_another_model_is_refused(
    make_module: MakeModule, metadata: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "x.wasm"
    file.write_bytes(make_module(metadata=metadata))
    pickled = pickle.dumps(load(file))
    metadata["model"]["name"] = "another"
    file.write_bytes(make_module(metadata=metadata))
    with pytest.raises(InvalidArgument, match="another one than when it was first loaded"):
        pickle.loads(pickled)
