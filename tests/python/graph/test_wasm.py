"""Reading and editing wasm files by section."""

from __future__ import annotations

import random

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


def test_sections_know_their_offset(plain: bytes) -> None:
    module = wasm.with_custom(plain, "note", b"text")
    for part in wasm.sections(module):
        assert module[part.offset : part.offset + len(part.payload)] == part.payload


def test_a_custom_section_is_read_back(plain: bytes) -> None:
    assert wasm.custom(wasm.with_custom(plain, "note", b"text"), "note") == b"text"


def test_a_custom_section_replaces_the_one_of_its_name(plain: bytes) -> None:
    module = wasm.with_custom(wasm.with_custom(plain, "note", b"old"), "note", b"new")
    assert [bytes(part.payload) for part in wasm.sections(module) if part.name == "note"] == [b"new"]


def test_without_the_custom_section_there_is_none(plain: bytes) -> None:
    assert wasm.custom(plain, "note") is None


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


def without_large_data(module: bytes, at_least: int) -> tuple[bytes, list[wasm.Segment]]:
    return wasm.without_large_data(lambda start, end: module[start:end], len(module), at_least)


def test_large_data_taken_out_is_where_the_segments_say(plain: bytes) -> None:
    contents = random.Random(1).randbytes(5000)
    module = wasm.with_data(plain, 2048, contents)
    smaller, segments = without_large_data(module, 1000)
    assert len(smaller) < 1000
    assert [(segment.address, segment.size) for segment in segments] == [(2048, 5000)]
    assert module[segments[0].offset :][:5000] == contents


def test_a_module_without_its_large_data_runs_as_before(plain: bytes) -> None:
    smaller, _ = without_large_data(wasm.with_data(plain, 2048, b"x" * 5000), 1000)
    store, memory = memory_after_start(smaller, "copy")
    assert memory.read(store, 8, 13) == b"eight"
    assert memory.read(store, 100, 107) == b"passive"
    assert memory.read(store, 2048, 2052) == bytes(4)


def test_a_module_with_a_start_function_keeps_its_data() -> None:
    text = '(module (memory (export "memory") 1) (data (i32.const 0) "data") (func $f) (start $f))'
    module = bytes(wasmtime.wat2wasm(text))
    assert without_large_data(module, 1) == (module, [])


def test_a_module_with_data_at_a_computed_address_keeps_it() -> None:
    text = '(module (global $at (import "m" "at") i32) (memory 1) (data (global.get $at) "data"))'
    module = bytes(wasmtime.wat2wasm(text))
    assert without_large_data(module, 1) == (module, [])


def test_what_follows_the_last_segment_is_left_to_the_engine(plain: bytes) -> None:
    parts = wasm.sections(plain)
    longer = [
        wasm.Section(part.id, None, memoryview(bytes(part.payload) + b"more")) if part.id == 11 else part
        for part in parts
    ]
    module = wasm.assemble(longer)
    assert without_large_data(module, 1) == (module, [])


def test_large_data_is_not_read(plain: bytes) -> None:
    module = wasm.with_data(plain, 2048, bytes(5000))

    def fetch(start: int, end: int) -> bytes:
        assert end - start < 1000
        return module[start:end]

    assert wasm.without_large_data(fetch, len(module), 1000) == without_large_data(module, 1000)


def test_exports_have_their_kind(plain: bytes) -> None:
    assert wasm.exports(plain) == {"memory": "memory", "copy": "func"}


def test_imports_are_counted() -> None:
    text = '(module (import "m" "f" (func)) (import "m" "g" (global i32)))'
    assert wasm.import_count(bytes(wasmtime.wat2wasm(text))) == 2


@pytest.mark.parametrize("data", [b"", b"\0as", b"GIF89a..", b"\0asm"])
def test_other_files_are_no_modules(data: bytes) -> None:
    with pytest.raises(InvalidEncoding, match="not a WebAssembly module"):
        wasm.sections(data)


def test_a_component_is_no_module() -> None:
    with pytest.raises(InvalidEncoding, match="0d000100"):
        wasm.sections(b"\0asm\x0d\0\1\0")


def test_a_section_past_the_end_is_refused() -> None:
    with pytest.raises(InvalidEncoding, match="99 bytes expected and 1 present at byte 10"):
        wasm.sections(b"\0asm\1\0\0\0\1\x63\0")


@pytest.mark.parametrize("number", [b"\x80" * 6, b"\xff\xff\xff\xff\x7f"])
def test_a_size_of_more_than_32_bits_is_refused(number: bytes) -> None:
    with pytest.raises(InvalidEncoding, match="32"):
        wasm.sections(b"\0asm\1\0\0\0\1" + number)


def examine(module: bytes) -> None:
    wasm.memory_pages(module)
    wasm.exports(module)
    wasm.import_count(module)
    without_large_data(module, 4)
    wasm.with_data(module, 0, b"data")


def test_no_damage_ends_in_another_error(plain: bytes) -> None:
    generator = random.Random(7)
    for _ in range(2000):
        damaged = bytearray(plain[: generator.randrange(8, len(plain) + 1)])
        for _ in range(generator.randrange(4)):
            if len(damaged) > 8:
                damaged[generator.randrange(8, len(damaged))] = generator.randrange(256)
        try:
            examine(bytes(damaged))
        except InvalidEncoding:
            continue
