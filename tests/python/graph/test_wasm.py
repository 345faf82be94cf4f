"""Editing wasm files by section."""

from __future__ import annotations

import pytest
import wasmtime
from wasmgrad import InvalidArgument, InvalidEncoding
from wasmgrad._graph.format import wasm

TEXT = """(module
  (memory (export "memory") 1 2)
  (data (i32.const 8) "eight")
  (data $later "passive")
  (func (export "copy") (memory.init $later (i32.const 100) (i32.const 0) (i32.const 7)))
)"""


@pytest.fixture
def plain() -> bytes:
    """A module with a memory, an active and a passive data segment, and therefore a data count section."""
    return bytes(wasmtime.wat2wasm(TEXT))


def memory_after_start(module: bytes, *calls: str) -> tuple[wasmtime.Store, wasmtime.Memory]:
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, module), []).exports(store)
    for call in calls:
        exports[call](store)
    return store, exports["memory"]


def test_sections_put_together_are_the_file(plain: bytes) -> None:
    assert wasm.assemble(wasm.sections(plain)) == plain


def test_a_custom_section_replaces_the_one_of_its_name(plain: bytes) -> None:
    module = wasm.with_custom(wasm.with_custom(plain, "note", b"old"), "note", b"new")
    assert [bytes(part.payload) for part in wasm.sections(module) if part.name == "note"] == [b"new"]


def test_memory_pages_are_minimum_and_maximum(plain: bytes) -> None:
    assert wasm.memory_pages(plain) == (1, 2)


def test_a_set_memory_is_fixed(plain: bytes) -> None:
    store, memory = memory_after_start(wasm.with_memory(plain, 300))
    assert (memory.size(store), memory.type(store).limits.max) == (300, 300)


def test_a_memory_of_more_than_4_gib_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidArgument, match="at most 65536"):
        wasm.with_memory(plain, 65537)


def test_a_module_without_memory_cannot_get_a_size() -> None:
    with pytest.raises(InvalidEncoding, match="no memory"):
        wasm.with_memory(bytes(wasmtime.wat2wasm("(module)")), 1)


def test_a_64_bit_memory_is_refused() -> None:
    with pytest.raises(InvalidEncoding, match="32-bit memory"):
        wasm.memory_pages(b"\0asm\1\0\0\0" + b"\5\3\1\4\1")


def test_added_data_is_in_memory_after_instantiation(plain: bytes) -> None:
    store, memory = memory_after_start(wasm.with_data(plain, 1000, b"added"), "copy")
    assert memory.read(store, 8, 13) == b"eight"
    assert memory.read(store, 100, 107) == b"passive"
    assert memory.read(store, 1000, 1005) == b"added"


def test_data_can_be_added_to_a_module_without_data() -> None:
    module = bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1) (func))'))
    store, memory = memory_after_start(wasm.with_custom(wasm.with_data(module, 64, b"added"), "note", b""))
    assert memory.read(store, 64, 69) == b"added"


def test_data_can_be_added_in_the_upper_half_of_the_address_space() -> None:
    module = bytes(wasmtime.wat2wasm('(module (memory (export "memory") 32769))'))
    store, memory = memory_after_start(wasm.with_data(module, (1 << 31) + 5, b"high"))
    assert memory.read(store, (1 << 31) + 5, (1 << 31) + 9) == b"high"


def test_data_outside_the_address_space_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidArgument, match="leaves the 32-bit memory"):
        wasm.with_data(plain, (1 << 32) - 1, b"xy")


@pytest.mark.parametrize("data", [b"", b"\0as", b"GIF89a..", b"\0asm\x0d\0\1\0"])
def test_other_files_are_no_modules(data: bytes) -> None:
    with pytest.raises(InvalidEncoding, match="not a WebAssembly module"):
        wasm.sections(data)


def test_a_module_that_was_cut_short_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidEncoding, match="not a whole WebAssembly module: "):
        wasm.sections(plain[:-1])
