"""Writes graph modules, good and bad, and what every reader of graph modules must say of each.

Usage: make_modules.py OUTDIR. OUTDIR/verdicts.json then has a row for each OUTDIR/<name>.wasm: the kind of the error
that loading it ends in, or "ok": then it runs, and of x = 1 it makes y = 3.5. The readers are cpp/graph and
guests/web/host.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import assembler as a

OK, INVALID, UNSUPPORTED, TOO_LARGE, FAILED = (
    "ok", "invalid_encoding", "unsupported_operation", "too_large", "runtime_error",
)  # fmt: skip
Case = tuple[str, bytes, str]
HUGE = a.unsigned(3 << 30)
TEXT = json.dumps(a.METADATA).encode()


def files() -> Iterator[Case]:
    """What is no module, or no whole one."""
    honest = a.module()
    yield "honest", honest, OK
    yield "empty", b"", INVALID
    yield "text", b"not a module", INVALID
    yield "header", a.HEADER, INVALID
    yield "header-of-version-2", b"\0asm\2\0\0\0" + honest[8:], INVALID
    yield "component", b"\0asm\x0d\0\1\0" + honest[8:], INVALID
    for size in (4, 9, 10, 40, len(honest) // 2, len(honest) - 1):
        yield f"cut-to-{size}", honest[:size], INVALID
    yield "section-past-end", honest + b"\0\5\1", INVALID


def sections() -> Iterator[Case]:
    """Sections, their lengths and their order."""
    types = a.parts()["types"]
    code = a.code()
    yield "length-padded", a.module(code=b"\x0a" + a.unsigned(len(code), 5) + code), OK
    yield "length-of-6-bytes", a.module(code=b"\x0a" + a.unsigned(len(code), 6) + code), INVALID
    high = bytearray(a.unsigned(len(code), 5))
    high[4] = 0x10  # the bit of 2^32
    yield "length-of-33-bits", a.module(code=b"\x0a" + bytes(high) + code), INVALID
    yield "section-unknown", a.module() + a.section(77, b"x"), INVALID
    yield "section-twice", a.module(types=types + types), INVALID
    swapped = a.module(functions=a.parts()["memory"], memory=a.parts()["functions"])
    yield "sections-out-of-order", swapped, INVALID
    yield "memory-twice", a.module(memory=a.parts()["memory"] * 2), INVALID
    noted = a.module(types=a.custom(b"", b"") + types, data=a.parts()["data"] + a.custom(b"note", b"text"))
    yield "custom-sections", noted, OK
    yield "custom-name-past-end", a.module() + a.section(a.CUSTOM, b"\x05name"), INVALID
    yield "custom-name-overlong", a.module() + a.section(a.CUSTOM, b"\x84\x80\x80\x80\x80\0name"), INVALID
    yield "custom-name-not-utf-8", a.module() + a.custom(b"\xff", b""), INVALID
    yield "metadata-first", a.HEADER + a.parts()["metadata"] + a.module(metadata=b"")[8:], OK
    yield "metadata-missing", a.module(metadata=b""), INVALID
    yield "metadata-twice", a.module() + a.parts()["metadata"], INVALID
    yield "code-damaged", a.module(code=a.section(a.CODE, b"\6" + b"\7" * 20)), INVALID


def interfaces() -> Iterator[Case]:
    """Imports, exports and the memory."""
    imported = {"function": b"\0\0", "memory": b"\2" + a.FIXED, "global": b"\3\x7f\0"}
    for kind, what in imported.items():
        contents = a.vector(a.text(b"env") + a.text(b"it") + what)
        yield f"imports-a-{kind}", a.module(imports=a.section(a.IMPORT, contents)), INVALID
    yield "imports-nothing", a.module(imports=a.section(a.IMPORT, b"\0")), OK
    for missing in a.EXPORTS:
        rows = [row for row in a.EXPORTS if row != missing]
        yield f"exports-no-{missing[0]}", a.module(exports=a.section(a.EXPORT, a.exports(rows))), INVALID
        other = [*rows, (missing[0], 2 - missing[1], 0)]
        yield (
            f"exports-another-{missing[0]}",
            a.module(exports=a.section(a.EXPORT, a.exports(other))),
            INVALID,
        )
    for name, more in {"more": ("", 0, 0), "twice": a.EXPORTS[1]}.items():
        module = a.module(exports=a.section(a.EXPORT, a.exports([*a.EXPORTS, more])))
        yield f"exports-{name}", module, OK if name == "more" else INVALID
    yield "exports-cut", a.module(exports=a.section(a.EXPORT, a.exports(a.EXPORTS)[:-1])), INVALID
    for name, kind in {"graph_input": 3, "graph_run": 1}.items():
        kinds = a.FUNCTIONS | {name: kind}
        functions = a.section(3, a.vector(*map(a.unsigned, kinds.values())))
        replaced = {"graph_input": a.body(a.constant(a.X))} if name == "graph_input" else {}
        yield (
            f"signature-of-{name}",
            a.module(functions=functions, code=a.section(a.CODE, a.code(**replaced))),
            INVALID,
        )
    pages = a.unsigned(a.PAGES)
    memories = {
        "growing": a.vector(b"\0" + pages),
        "with-more-to-come": a.vector(b"\1" + pages + a.unsigned(a.PAGES + 1)),
        "shared": a.vector(b"\3" + pages * 2),
        "of-64-bits": a.vector(b"\5" + pages * 2),
        "there-twice": a.vector(a.FIXED, a.FIXED),
        "of-more-than-4-gib": a.vector(b"\1" + a.unsigned(65537) * 2),
        "too-small": a.vector(b"\1" + a.unsigned(a.PAGES - 1) * 2),
    }
    for name, contents in memories.items():
        yield f"memory-{name}", a.module(memory=a.section(a.MEMORY, contents)), INVALID
    yield "memory-missing", a.module(memory=b""), INVALID


def threads() -> Iterator[Case]:
    """Modules for several threads: their memory is shared, and imported."""
    yield "threads-honest", a.threads(), OK
    yield "threads-2", a.threads(2), OK
    yield "threads-64", a.threads(64), OK
    yield "threads-0", a.threads(0), INVALID
    yield "threads-65", a.threads(65), INVALID
    yield "threads-1-with-shared-memory", a.threads(1), INVALID
    yield "threads-with-own-memory", a.with_value(("options", "threads"), 4), INVALID
    yield "threads-1-with-own-memory", a.with_value(("options", "threads"), 1), OK
    yield "threads-of-text", a.with_value(("options", "threads"), "4"), INVALID
    pages = a.unsigned(a.PAGES)
    memory = a.text(b"env") + a.text(b"memory") + b"\2"
    imports = {
        "not-shared": [memory + b"\1" + pages * 2],
        "growing": [memory + b"\3" + pages + a.unsigned(a.PAGES + 1)],
        "without-maximum": [memory + b"\2" + pages],
        "of-64-bits": [memory + b"\7" + pages * 2],
        "too-small": [memory + b"\3" + a.unsigned(a.PAGES - 1) * 2],
        "of-more-than-4-gib": [memory + b"\3" + a.unsigned(65537) * 2],
        "of-another-name": [a.text(b"env") + a.text(b"memories") + b"\2\3" + pages * 2],
        "of-another-module": [a.text(b"host") + a.text(b"memory") + b"\2\3" + pages * 2],
        "that-is-a-function": [a.text(b"env") + a.text(b"memory") + b"\0\0"],
        "twice": [a.SHARED, a.SHARED],
        "and-more": [a.SHARED, a.text(b"env") + a.text(b"it") + b"\3\x7f\0"],
    }
    for name, rows in imports.items():
        yield f"threads-memory-{name}", a.threads(imports=a.section(a.IMPORT, a.vector(*rows))), INVALID
    yield "threads-memory-missing", a.threads(imports=b""), INVALID
    yield "threads-imports-cut", a.threads(imports=a.section(a.IMPORT, b"\1\3env\6mem")), INVALID
    yield "threads-memory-imported-and-own", a.threads(memory=a.section(a.MEMORY, a.vector(a.FIXED))), INVALID
    for missing in a.THREAD_FUNCTIONS:
        rows = [("memory", 2, 0)]
        rows += [(name, 0, i) for i, name in enumerate(a.FUNCTIONS | a.THREAD_FUNCTIONS) if name != missing]
        yield f"threads-without-{missing}", a.threads(exports=a.section(a.EXPORT, a.exports(rows))), INVALID
    passive = a.section(a.DATA, a.vector(a.active(a.W, a.WEIGHT), b"\1" + a.text(b"later")))
    yield "threads-with-passive-data", a.threads(data=passive), INVALID
    yield "threads-that-start", a.threads(start=a.section(a.START, b"\0")), INVALID
    large = a.code(a.LARGE, graph_thread=a.body(a.constant(0)), graph_stop=a.body(), graph_spin=a.body())
    whole = a.section(a.DATA, a.vector(a.active(a.LARGE, a.WEIGHT.ljust(65536, b"w"))))
    yield "threads-with-large-data", a.threads(code=a.section(a.CODE, large), data=whole), OK


def data() -> Iterator[Case]:
    """Data segments, small and large, in order and not."""
    large = a.section(a.CODE, a.code(a.LARGE))
    end = a.PAGES << 16

    def with_data(*segments: bytes, **replaced: bytes) -> bytes:
        return a.module(**{"code": large, **replaced}, data=a.section(a.DATA, a.vector(*segments)))

    for size in (65535, 65536, 65537, 1 << 17):
        yield f"data-of-{size}-bytes", with_data(a.active(a.LARGE, a.WEIGHT.ljust(size, b"w"))), OK
    whole = a.active(a.LARGE, a.WEIGHT.ljust(65536, b"w"))
    wrong = a.active(a.LARGE, b"w" * 65536)
    yield "data-over-data", with_data(wrong, a.active(a.LARGE, a.WEIGHT)), OK
    yield "data-before-data", with_data(whole, a.active(a.W, b"wwww")), OK
    yield "data-passive", with_data(whole, b"\1" + a.text(b"later")), OK
    yield "data-of-memory-0-by-number", with_data(whole, b"\2\0" + a.active(a.W, b"wwww")[1:]), OK
    yield "data-when-it-starts", with_data(whole, start=a.section(a.START, b"\0")), OK
    yield "data-with-padded-size", with_data(whole[: -65536 - 3] + a.unsigned(65536, 5) + whole[-65536:]), OK
    yield "data-at-no-address", with_data(b"\0\x41" + b"\x80" * 5 + b"\0\x0b" + a.text(b"x" * 65536)), INVALID
    yield "data-past-section", with_data(whole[:-1]), INVALID
    yield "data-of-fewer-segments", a.module(data=a.section(a.DATA, b"\1")), INVALID
    yield (
        "data-then-more",
        a.module(data=a.section(a.DATA, a.vector(a.active(a.W, a.WEIGHT)) + b"x")),
        INVALID,
    )
    yield "data-outside", with_data(whole, a.active(end - 3, b"wwww")), INVALID
    yield "data-outside-large", with_data(whole, a.active(end - 65535, b"w" * 65536)), INVALID
    yield "data-at-2-gib", with_data(whole, b"\0\x41\x80\x80\x80\x80\x78\x0b" + a.text(b"w" * 65536)), INVALID


def addresses() -> Iterator[Case]:
    """What functions return or do when a module is loaded."""

    def with_function(**replaced: bytes) -> bytes:
        return a.module(code=a.section(a.CODE, a.code(**replaced)))

    for side in ("input", "output"):
        for name, address in {"none": 0, "outside": (a.PAGES << 16) - 2, "far": (1 << 31) - 64}.items():
            yield (
                f"address-of-{side}-{name}",
                with_function(**{f"graph_{side}": a.address_of(address)}),
                INVALID,
            )
        yield f"address-of-more-{side}s", with_function(**{f"graph_{side}": a.body(a.constant(a.X))}), INVALID
    yield "trap-at-start", with_function(_initialize=a.body(b"\0")), FAILED


def documents() -> Iterator[Case]:
    """Metadata that is not JSON, or not as strict as all readers of JSON are."""
    contents = {
        "nothing": b"",
        "text": b"text",
        "cut": TEXT[:-1],
        "more": TEXT + b"}",
        "null": b"null",
        "a-list": b"[]",
        "a-number": b"1",
        "not-utf-8": TEXT.replace(b"cat", b"\xff"),
        "half-a-pair": TEXT.replace(b"cat", rb"\ud800"),
        "not-a-number": TEXT.replace(b"0.5", b"NaN"),
        "infinite": TEXT[:-1] + b', "later": 1e999}',
        "deep": TEXT[:-1] + b', "later": ' + b"[" * 100 + b"]" * 100 + b"}",
        "a-key-twice": TEXT[:-1] + b', "abi": 1}',
        "a-new-key-twice": TEXT[:-1] + b', "later": {"\\"k": 1, "\\"k": 1}}',
        "with-a-comment": TEXT + b" // text",
    }
    for name, each in contents.items():
        yield f"metadata-is-{name}", a.with_metadata(each), INVALID
    yield "metadata-of-a-newer-abi", a.with_metadata(b'{"abi": 2, "all": "else is different"}'), UNSUPPORTED
    yield "metadata-with-a-new-key", a.with_metadata(TEXT[:-1] + b', "later": {"a \\": b": [{}]}}'), OK
    yield "metadata-with-floats", a.with_metadata(TEXT.replace(b'"flops": 1', b'"flops": 1.0')), OK
    yield "metadata-with-a-mark", a.with_metadata(b"\xef\xbb\xbf" + TEXT), OK


TRAINING = {
    "loss": "mse", "optimizer": "sgd", "batch": 1, "least": 1, "partial": True, "top_k": 5, "classes": 0, "fixed": [],
}  # fmt: skip

LIES = {
    ("training",): [
        1, [], {}, TRAINING, TRAINING | {"batch": 0}, TRAINING | {"least": 2}, TRAINING | {"partial": 1},
        TRAINING | {"fixed": [{"name": "w", "sha256": "0"}]}, TRAINING | {"loss": None},
    ],
    ("abi",): [0, -1, True, "1", 1.5, None],
    ("producer",): [1, None],
    ("model",): [None, []],
    ("model", "name"): [1],
    ("model", "format"): [...],
    ("model", "sha256"): [0],
    ("model", "opset"): [-1, "18"],
    ("outputs",): [None, []],
    ("inputs", 0, "name"): ["", 1, None],
    ("inputs", 0, "dtype"): ["float31", None, ["float32"], "__proto__"],
    ("inputs", 0, "shape"): [
        None, 1, [-1], [1.5], ["1"], [True], [1 << 32], [1 << 20, 1 << 20], [1 << 31, 1 << 31, 4], [1 << 18], [1] * 65,
    ],
    ("inputs",): [None, {}, [1], [], a.METADATA["inputs"] * 2],
    ("operators",): [None, [], {"Add": -1}, {"Add": 1.5}],
    ("parameters",): [None, -1, 1 << 53, 1 << 80],
    ("flops",): ["1"],
    ("memory",): [None],
    ("memory", "bytes"): [(1 << 32) + 1, (a.PAGES << 16) + 1, "1"],
    ("memory", "weights"): [(a.PAGES << 16) - 127, None],
    ("memory", "workspace"): [-1],
    ("weights", "mode"): ["elsewhere", None],
    ("weights", "bytes"): [(1 << 16) + 1, -4],
    ("weights", "sha256"): ["00", "A" * 64, None],
    ("options", "simd"): ["256", None],
    ("options", "opt_level"): [-1],
    ("plan",): [None, {}, [1]],
    ("plan", 0, "name"): [None],
    ("plan", 0, "kernel"): [1],
    ("plan", 0, "flops"): [None],
    ("plan", 0, "bytes"): [-1],
    ("labels",): ["cat", [1]],
    ("preprocess",): [[], "image"],
    ("preprocess", "kind"): ["sound"],
    ("preprocess", "crop"): [0, 10, [8, 8, 8], [8], 1 << 15],
    ("preprocess", "resize"): [7, "9"],
    ("preprocess", "interpolation"): ["guess"],
    ("preprocess", "layout"): ["CHW"],
    ("preprocess", "color"): ["CMYK", "toString"],
    ("preprocess", "scale"): ["1", 1e31],
    ("preprocess", "mean"): [[0, 0], 0],
    ("preprocess", "std"): [[1, 0, 1], [1]],
}  # fmt: skip
TRUTHS = {
    ("training",): [None],
    ("model", "opset"): [None, ...],
    ("preprocess",): [None, ...],
    ("preprocess", "resize"): [None],
    ("preprocess", "crop"): [8],
    ("labels",): [None, [], [""]],
    ("plan",): [[]],
    ("operators",): [{}],
    ("weights", "bytes"): [0],
    ("inputs", 0, "shape"): [[], [1, 1, 1]],
}


def values() -> Iterator[Case]:
    """Metadata with another value at one place."""
    for table, verdict in ((LIES, INVALID), (TRUTHS, OK)):
        for path, others in table.items():
            for index, value in enumerate(others):
                yield f"{verdict}-{'.'.join(map(str, path))}-{index}", a.with_value(path, value), verdict


def states() -> Iterator[Case]:
    """What a module keeps between runs: what it says of it, and where it is."""
    yield "states-of-one", a.with_states([a.STATE]), OK
    exports = {"without-the-function": a.EXPORTS, "by-no-function": [*a.EXPORTS, ("graph_state", 2, 0)]}
    for name, rows in exports.items():
        contents = a.section(a.EXPORT, a.exports(rows))
        yield f"states-{name}", a.with_states([a.STATE], exports=contents), INVALID
    wide = a.section(3, a.vector(*map(a.unsigned, (*a.FUNCTIONS.values(), 3))))
    code = a.section(a.CODE, a.code(graph_state=a.body(a.constant(a.S))))
    yield "states-by-another-function", a.with_states([a.STATE], functions=wide, code=code), INVALID
    yield "states-of-more", a.with_states([a.STATE], code=code), INVALID
    for name, address in {"none": 0, "outside": (a.PAGES << 16) - 2, "far": (1 << 31) - 64}.items():
        code = a.section(a.CODE, a.code(graph_state=a.address_of(address)))
        yield f"states-at-{name}", a.with_states([a.STATE], code=code), INVALID
    lies: dict[str, Any] = {
        "an-object": {},
        "a-number": 1,
        "numbers": [1],
        "called-nothing": [a.STATE | {"name": ""}],
        "called-as-an-input": [a.STATE | {"name": "x"}],
        "called-the-same": [a.STATE, a.STATE],
        "of-another-type": [a.STATE | {"dtype": "float31"}],
        "too-large": [a.STATE | {"shape": [1 << 18]}],
        "from-nothing": [a.STATE | {"output": ""}],
        "from-a-number": [a.STATE | {"output": 1}],
        "from-nowhere": [a.TENSOR | {"name": "s"}],
    }
    for name, value in lies.items():
        yield f"states-{name}", a.with_states(value), INVALID
    for name, value in {"null": None, "empty": [], "called-as-an-output": [a.STATE | {"name": "y"}]}.items():
        yield f"states-{name}", a.with_states(value), OK


PLAN = {
    "entry": "run",
    "batch": {"least": 1, "most": 4},
    "inputs": [{"name": "x", "dtype": "float32", "shape": [4], "batched": [0]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": [4, 2], "batched": [0]}],
    "flops": 4,
    "plan": [{"name": "add", "kernel": "add", "flops": 4, "bytes": 48}],
}


def plans() -> Iterator[Case]:
    """Several plans: what a module says of them, and whether they can be chosen."""
    yield "plans-of-two", a.with_plans([PLAN]), OK
    yield "plans-of-none-more", a.with_plans([]), OK
    yield "plans-null", a.with_value(("further",), None), OK
    yield "plans-without-the-function", a.with_value(("further",), [PLAN]), INVALID
    yield "plans-that-cannot-be-chosen", a.with_plans([PLAN], select=a.body(a.constant(1))), FAILED
    yield "plans-that-trap", a.with_plans([PLAN], select=a.body(b"\0")), FAILED
    yield "plans-of-another-entry", a.with_plans([PLAN | {"entry": "step"}]), OK
    alone = PLAN | {
        "batch": None,
        "inputs": [a.TENSOR | {"name": "x"}],
        "outputs": [a.TENSOR | {"name": "y"}],
    }
    yield "plans-without-a-batch", a.with_plans([alone]), OK
    lies: dict[str, Any] = {
        "an-object": {},
        "numbers": [1],
        "1024": [PLAN] * 1024,
        "called-nothing": [PLAN | {"entry": ""}],
        "called-a-number": [PLAN | {"entry": 1}],
        "of-batch-0": [PLAN | {"batch": {"least": 0, "most": 4}}],
        "of-a-batch-backwards": [PLAN | {"batch": {"least": 4, "most": 1}}],
        "of-half-a-batch": [PLAN | {"batch": {"most": 4}}],
        "of-a-batch-of-32-bits": [PLAN | {"batch": {"least": 1, "most": 1 << 31}}],
        "of-batches-that-divide-nothing": [PLAN | {"batch": {"least": 1, "most": 3}}],
        "without-inputs": [{**PLAN, "inputs": None}],
        "without-calls": [{**PLAN, "plan": None}],
        "without-flops": [{**PLAN, "flops": None}],
        "too-large": [PLAN | {"inputs": [PLAN["inputs"][0] | {"shape": [1 << 18]}]}],  # type: ignore[index]
    }
    axes: dict[str, Any] = {
        "twice": [0, 0],
        "out-of-range": [1],
        "negative": [-1],
        "that-is-none": ["0"],
        "alone": 0,
    }
    for name, value in axes.items():
        lies[f"of-an-axis-{name}"] = [PLAN | {"inputs": [PLAN["inputs"][0] | {"batched": value}]}]  # type: ignore[index]
    lies["of-an-axis-without-a-batch"] = [PLAN | {"batch": None}]
    for name, value in lies.items():
        yield f"plans-{name}", a.with_plans(value), INVALID
    for at in (("inputs", 0, "batched"), ("outputs", 0, "batched")):
        yield f"plans-{at[0]}-of-no-batch", a.with_value(at, [0]), INVALID
    named = a.with_states(
        [a.STATE | {"name": "z"}], further=[PLAN | {"inputs": [PLAN["inputs"][0] | {"name": "z"}]}]
    )  # type: ignore[index]
    yield "plans-with-an-input-called-as-a-state", named, INVALID


def sparse() -> Iterator[tuple[Case, int]]:
    """Modules to be made longer: they name sections of 3 GiB, which no disk has to hold."""
    before = a.module(code=b"", data=b"")
    yield ("huge-code", before + b"\x0a" + HUGE, TOO_LARGE), 3 << 30
    passive = b"\1\1" + a.unsigned((3 << 30) - 7)
    yield (
        ("huge-passive-data", a.module(data=b"") + b"\x0b" + HUGE + passive, TOO_LARGE),
        (3 << 30) - len(passive),
    )
    yield ("huge-custom-section", a.module() + b"\0" + HUGE, OK), 3 << 30
    named = a.text(b"wasmgrad.graph")
    yield ("huge-metadata", a.module(metadata=b"") + b"\0" + HUGE + named, TOO_LARGE), (3 << 30) - len(named)
    yield ("huge-custom-name", a.module() + b"\0" + HUGE + a.unsigned(2 << 30), TOO_LARGE), (3 << 30) - 5


def main(folder: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        case
        for group in (files, sections, interfaces, threads, data, addresses, documents, values, states, plans)
        for case in group()
    ]
    verdicts = {}
    for (name, contents, verdict), more in [*((case, 0) for case in cases), *sparse()]:
        assert name not in verdicts, name
        verdicts[name] = verdict
        path = folder / f"{name}.wasm"
        path.write_bytes(contents)
        os.truncate(path, len(contents) + more)
    (folder / "verdicts.json").write_text(json.dumps(verdicts, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
