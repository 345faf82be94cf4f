"""Writes hostile and honest TorchScript archives, and a manifest of what vetting has to say to each.

Usage: make_attacks.py OUTDIR. OUTDIR/manifest.json then holds
{"accept": [file, ...], "refuse": [{"file", "errc", "word"}, ...], "contain": [{"file", "errc"}, ...]}, where `errc` is
the stable name of the error's kind, of vetting or (contain) of the run, and `word` stands in its message.
"""

from __future__ import annotations

import json
import struct
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hostile_archives as archives
import hostile_models as models
import legit_models
import torch
from hostile_archives import Entry


class Book:
    """Collects the attacks and writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refuse: list[dict[str, str]] = []

    def model(self, name: str, module: torch.nn.Module, word: str, errc: str = "security") -> None:
        """A model saved by PyTorch."""
        torch.jit.script(module).save(str(self.folder / f"{name}.pt"))
        self.expect(name, errc, word)

    def raw(self, name: str, data: bytes, errc: str, word: str) -> None:
        """A file of `data`."""
        (self.folder / f"{name}.pt").write_bytes(data)
        self.expect(name, errc, word)

    def archive(self, name: str, entries: list[Entry], errc: str, word: str) -> None:
        """A zip file of `entries`."""
        self.raw(name, archives.build(entries), errc, word)

    def expect(self, name: str, errc: str, word: str) -> None:
        """Notes what vetting has to say to the file `name`."""
        self.refuse.append({"file": f"{name}.pt", "errc": errc, "word": word})


def swap(data: bytes, old: bytes, new: bytes) -> bytes:
    """`data` with its first `old` replaced, which must be there."""
    assert old in data, old
    return data.replace(old, new, 1)


def code_attacks(book: Book) -> None:
    """Operators, classes and methods, saved by PyTorch itself."""
    book.model("from-file-read", models.ReadsFile(), "aten::from_file")
    book.model("from-file-write", models.WritesFile(), "aten::from_file")
    book.model("from-file-in-submodule", models.InSubmodule(), "aten::from_file")
    book.model("from-file-in-function", models.InFunction(), "aten::from_file")
    book.model("from-file-in-nested-block", models.InNestedBlock(), "aten::from_file")
    book.model("from-file-in-unused-method", models.InUnusedMethod(), "aten::from_file")
    book.model("from-file-in-hook", models.hooked(models.hostile_hook), "__forward_hooks__")
    book.model("hook", models.hooked(models.harmless_hook), "__forward_hooks__")
    book.model("save", models.Saves(), "aten::save")
    book.model("setstate", models.RunsOnLoad(), "state")
    book.model("print", models.Prints(), "prim::Print")
    book.model("script-class", models.HasScriptClass(), "Counter")
    book.model("interface", models.HasInterface(), "nterface")
    book.model("fork", models.Forks(), "aten::wait")
    book.model("as-strided", models.StridedView(), "aten::as_strided")
    book.model("resize", models.ReplacesStorage(), "aten::resize_")
    book.model("uninitialised-memory", models.ShowsFreedMemory(), "aten::empty")
    book.model("quantize", models.Quantizes(), "quantize_per_tensor")
    book.model("seed", models.SeedsGenerator(), "aten::manual_seed")
    book.model("gradients-off", models.TurnsGradientsOff(), "aten::set_grad_enabled")
    book.model("context-manager", models.EntersContext(), "'with'")
    book.model("backward-in-forward", models.RunsBackward(), "aten::autograd")
    book.model("profiler-namespace", models.CallsProfiler(), "profiler::_record_function_enter")
    book.model("storage-swapped", models.SwapsStorage(), "aten::set_")
    book.model("sparse", models.BuildsSparse(), "aten::sparse_coo_tensor")
    book.model("out-variant", models.WritesIntoOutput(), "aten::add.out")
    book.model("past-autograd", models.ReachesPastAutograd(), "prim::data")
    book.model("other-device", models.MovesToDevice(), "aten::cuda")
    book.model("getstate", models.OnlyGetsState(), "state")
    book.model("save-in-pre-hook", models.pre_hooked(), "__forward_pre_hooks__")
    book.model("packed-weights", torch.ao.nn.quantized.Linear(4, 3), "LinearPackedParamsBase")
    book.model("no-forward", models.NoForward(), "forward", "invalid_argument")


def text_attacks(book: Book, entries: list[Entry]) -> None:
    """Source text that overflows the stack of torch's parser or compiler, or that torch would never write."""
    path = "code/__torch__/hostile_models.py"
    code = archives.record(entries, path).decode()

    def source(name: str, text: str, errc: str, word: str) -> None:
        book.archive(name, archives.with_record(entries, path, text.encode()), errc, word)

    def body(name: str, statement: str, errc: str, word: str) -> None:
        # Before the return, or in its place.
        end = "" if "    return" in statement else "    return _1\n"
        source(
            name, swap(code.encode(), b"    return _1\n", f"{statement}\n{end}".encode()).decode(), errc, word
        )

    deep = 100_000
    body("deep-parentheses", "    y = " + "(" * deep + "1" + ")" * deep, "too_large", "nested deeper")
    body("deep-unary-minus", "    y = " + "-" * deep + "x", "too_large", "nested deeper")
    body("deep-not", "    y = " + "not " * deep + "x", "too_large", "nested deeper")
    body("long-sum", "    y = 1" + " + 1" * deep, "too_large", "nested deeper")
    body("deep-subscripts", "    y = x" + "[0]" * deep, "too_large", "nested deeper")
    body("deep-attributes", "    y = x" + ".a" * deep, "too_large", "")
    body("deep-ternary", "    y = 1" + " if True else 1" * deep, "too_large", "nested deeper")
    body(
        "deep-type",
        "    y = annotate(" + "List[" * deep + "int" + "]" * deep + ", [])",
        "too_large",
        "nested deeper",
    )
    blocks = "".join(" " * (4 + i) + "if True:\n" for i in range(5000)) + " " * 5004 + "pass"
    body("deep-blocks", blocks, "too_large", "blocks nested")
    body(
        "elif-chain", "    if True:\n      pass\n" + "    elif True:\n      pass\n" * deep, "security", "elif"
    )
    body("long-name", "    " + "a" * 5000 + " = 1", "too_large", "name")
    body(
        "torch-classes",
        "    y = __torch__.torch.classes.quantized.Conv2dPackedParamsBase",
        "security",
        "torch.classes",
    )
    body("other-namespace", "    y = ops.quantized.linear(x, x, 1., 0)", "security", "quantized::linear")
    body("save-by-method", '    x.save("written.bin")', "invalid_encoding", "save")
    body(
        "blind-cast",
        "    return unchecked_cast(__torch__.hostile_models.Plain, self.outer).weight",
        "security",
        "cast",
    )
    chain = "".join(
        f"def f{i}(x: Tensor) -> Tensor:\n  return __torch__.hostile_models.f{i + 1}(x)\n"
        for i in range(3000)
    )
    source("deep-calls", code + chain + "def f3000(x: Tensor) -> Tensor:\n  return x\n", "too_large", "steps")
    source(
        "circular-calls",
        code + chain + "def f3000(x: Tensor) -> Tensor:\n  return __torch__.hostile_models.f0(x)\n",
        "invalid_encoding",
        "circle",
    )
    body("cyrillic-operator", "    y = torch.\u0430dd(x, x)", "invalid_encoding", "character 208")
    body("fullwidth-operator", "    y = torch.\uff41dd(x, x)", "invalid_encoding", "character 239")
    body("hidden-direction", "    # \u202e }x{ \u2066\n    y = x", "invalid_encoding", "character")
    body("zero-byte-in-code", "    y = x\0", "invalid_encoding", "character 0")
    body("huge-integer", "    y = " + "9" * 30, "invalid_encoding", "Integral constant")
    body("import-statement", "    import os", "security", "'import'")
    body("lambda", "    y = lambda: 0", "security", "'lambda'")
    raw = code.encode()
    book.archive(
        "code-not-utf-8",
        archives.with_record(
            entries, path, swap(raw, b"    return _1\n", b"    y\xff\xfe = x\n    return _1\n")
        ),
        "invalid_encoding",
        "character 255",
    )
    source("garbage-code", "class Plain(Module):\n  )\n", "invalid_encoding", "bracket")
    source(
        "does-not-compile",
        code.replace("torch.matmul(", "torch.matmul(nonsense, "),
        "invalid_encoding",
        "compile",
    )


def pickle_attacks(book: Book, entries: list[Entry], constants: list[Entry]) -> None:
    """data.pkl and constants.pkl that lie about tensors or reach for other classes."""
    data = archives.record(entries, "data.pkl")

    def pickle(name: str, changed: bytes, errc: str, word: str) -> None:
        book.archive(name, archives.with_record(entries, "data.pkl", changed), errc, word)

    # The first tensor: storage of 6 elements, offset 0, sizes (2, 3), strides (3, 1).
    tensor = b"K\x00(K\x02K\x03t(K\x03K\x01t"
    pickle(
        "storage-larger-than-record",
        swap(data, b"K\x06tQ", b"J\x00\x00\x10\x00tQ"),
        "invalid_encoding",
        "storage",
    )
    pickle(
        "storage-count-overflows",
        swap(data, b"K\x06tQ", b"\x8a\x08" + struct.pack("<q", 2**62) + b"tQ"),
        "invalid_encoding",
        "storage",
    )
    pickle(
        "storage-count-negative",
        swap(data, b"K\x06tQ", b"J\xff\xff\xff\xfftQ"),
        "invalid_encoding",
        "storage",
    )
    pickle(
        "storage-without-record",
        swap(data, b"X\x01\x00\x00\x000q", b"X\x01\x00\x00\x009q"),
        "invalid_encoding",
        "record",
    )
    pickle("storage-type-wider", swap(data, b"FloatStorage", b"DoubleStorage"), "invalid_encoding", "storage")
    pickle("storage-quantized", swap(data, b"FloatStorage", b"QUInt8Storage"), "security", "QUInt8Storage")
    pickle(
        "strides-out-of-bounds",
        swap(data, tensor, b"K\x00(K\x02K\x03t(K\xffK\x01t"),
        "invalid_encoding",
        "out of bounds",
    )
    pickle(
        "stride-negative",
        swap(data, tensor, b"K\x00(K\x02K\x03t(J\xff\xff\xff\xffK\x01t"),
        "invalid_encoding",
        "negative",
    )
    pickle(
        "offset-negative",
        swap(data, tensor, b"J\xff\xff\xff\xff" + tensor[2:]),
        "invalid_encoding",
        "negative",
    )
    pickle(
        "offset-out-of-bounds", swap(data, tensor, b"K\x01" + tensor[2:]), "invalid_encoding", "out of bounds"
    )
    huge = b"\x8a\x08" + struct.pack("<q", 2**62)
    pickle(
        "sizes-overflow",
        swap(data, tensor, b"K\x00(" + huge + huge + b"t(K\x00K\x00t"),
        "invalid_encoding",
        "overflow",
    )
    pickle(
        "class-from-torch-classes",
        swap(
            data,
            b"c__torch__.hostile_models\nDoubler\n",
            b"c__torch__.torch.classes.quantized\nConv2dPackedParamsBase\n",
        ),
        "security",
        "torch.classes",
    )
    pickle("os-system", swap(data, b"ccollections\nOrderedDict\n", b"cos\nsystem\n"), "security", "os.system")
    pickle(
        "sparse-tensor", swap(data, b"_rebuild_tensor_v2", b"_rebuild_sparse_tensor"), "security", "sparse"
    )
    pickle(
        "deep-pickle", b"\x80\x02" + b"(" * 1_000_000 + b"t" * 1_000_000 + b".", "too_large", "nested deeper"
    )
    pickle("deep-tuples", b"\x80\x02)" + b"\x85" * 1_000_000 + b".", "too_large", "nested deeper")
    pickle("list-in-itself", b"\x80\x02]q\x00(h\x00e.", "invalid_encoding", "APPENDS")
    pickle("huge-memo-slot", b"\x80\x02Nr\xff\xff\xff\xff.", "invalid_encoding", "memo")
    pickle("two-results", b"\x80\x02NN.", "invalid_encoding", "one value")
    pickle("not-a-module", b"\x80\x02N.", "invalid_encoding", "not a module")
    pickle("integer-as-callable", b"\x80\x02K\x00)R.", "invalid_encoding", "callable")
    pickle("eval", swap(data, b"ccollections\nOrderedDict\n", b"cbuiltins\neval\n"), "security", "eval")
    pickle("global-by-stack", b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "invalid_encoding", "protocol")
    pickle("instance-opcode", b"\x80\x02(ios\nsystem\n.", "invalid_encoding", "opcode")
    pickle("extension-opcode", b"\x80\x02\x82\x01.", "invalid_encoding", "opcode")
    pickle("text-persistent-id", b"\x80\x02P0\n.", "invalid_encoding", "opcode")
    pickle(
        "global-look-alike",
        swap(data, b"ctorch._utils\n", "ct\u043erch._utils\n".encode()),
        "invalid_encoding",
        "plain name",
    )
    pickle("text-longer-than-file", b"\x80\x02X\xff\xff\xff\xffabc.", "invalid_encoding", "past the end")
    pickle("integer-of-255-bytes", b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".", "invalid_encoding", "8 bytes")
    pickle(
        "stride-overflows",
        swap(data, tensor, b"K\x00(K\x02K\x03t(" + huge + b"K\x01t"),
        "invalid_encoding",
        "out of bounds",
    )
    # An object of another class than declared: attributes are read by position, here past the end of the smaller one.
    confused = swap(data, b"c__torch__.hostile_models\nDoubler\n", b"c__torch__.hostile_models\nPlain\n")
    pickle("class-confusion", confused, "invalid_encoding", "declared")
    pickle("attribute-of-other-type", swap(data, b"training", b"trainink"), "invalid_encoding", "declared")
    pickle(
        "wrong-list-tag", swap(data, b"build_intlist", b"build_tensorlist"), "invalid_encoding", "declared"
    )
    pickle(
        "state-is-not-a-dict",
        b"\x80\x02c__torch__.hostile_models\nPlain\n)\x81Nb.",
        "security",
        "__setstate__",
    )

    table = archives.record(constants, "constants.pkl")
    larger = swap(table, b"K\x06tQ", b"J\x00\x00\x10\x00tQ")
    book.archive(
        "constant-larger-than-record",
        archives.with_record(constants, "constants.pkl", larger),
        "invalid_encoding",
        "constants.pkl",
    )
    path = next(entry.name for entry in entries if entry.name.endswith("hostile_models.py.debug_pkl"))
    debug = archives.record(entries, path.split("/", 1)[1])
    ranges = debug.replace(b"(K\x01", b"(K\xfa")
    assert ranges != debug
    book.archive(
        "debug-index-out-of-bounds",
        archives.with_record(entries, path.split("/", 1)[1], ranges),
        "invalid_encoding",
        "source positions",
    )


def container_attacks(book: Book, entries: list[Entry]) -> None:
    """The zip container itself."""
    good = archives.build(entries)
    last = entries[-1]
    top = last.name.split("/", 1)[0]

    def changed(suffix: str, change: Callable[[Entry], Entry]) -> list[Entry]:
        return [change(entry) if entry.name.endswith("/" + suffix) else entry for entry in entries]

    def extra(name: str, data: bytes = b"x") -> list[Entry]:
        return [*entries, Entry(name, data)]

    bomb = Entry(f"{top}/code/__torch__/bomb.py", b"\n" * (64 << 20), deflate=True)
    book.archive("zip-bomb", [*entries, bomb], "too_large", "code")
    book.archive(
        "zip-bomb-that-lies", [*entries, replace(bomb, size=100)], "invalid_encoding", "compressed data"
    )
    book.archive(
        "deflated-tensor",
        changed("data/0", lambda e: replace(e, deflate=True)),
        "invalid_encoding",
        "compressed",
    )
    book.archive("duplicate-record", [*entries, entries[0]], "invalid_encoding", "duplicate")
    book.archive("duplicate-by-case", extra(f"{top}/DATA.PKL"), "invalid_encoding", "duplicate")
    book.archive("second-top-folder", extra("other/data.pkl"), "security", "plain path")
    book.archive("path-with-dots", extra(f"{top}/../../etc/passwd"), "security", "plain path")
    book.archive("path-absolute", [Entry("/etc/passwd", b"x"), *entries], "security", "top folder")
    book.archive("path-backslash", extra(f"{top}/extra\\..\\x"), "security", "plain path")
    book.archive("unknown-record", extra(f"{top}/model.json", b"{}"), "security", "model.json")
    book.archive("path-with-zero-byte", extra(f"{top}/extra/a\0b"), "security", "plain path")
    book.archive("path-look-alike", extra(f"{top}/d\u0430ta.pkl"), "security", "plain path")
    book.archive("path-empty", extra(f"{top}/"), "security", "plain path")
    book.archive(
        "path-to-device", extra(f"{top}/code/__torch__/../../../dev/stdin.py"), "security", "plain path"
    )
    book.archive("path-very-long", extra(f"{top}/extra/" + "a" * 60_000), "security", "plain path")
    book.archive("nested-archive", extra(f"{top}/code/__torch__/inner.pt", good), "security", "inner.pt")
    book.raw("two-directories", good + good, "invalid_encoding", "central directory")
    book.raw(
        "end-record-in-comment",
        good[:-2] + struct.pack("<H", len(good[-22:])) + good[-22:],
        "invalid_encoding",
        "central directory",
    )
    book.archive(
        "encrypted", changed("data.pkl", lambda e: replace(e, flags=1)), "invalid_encoding", "encrypted"
    )
    book.archive("crc-wrong", changed("data/0", lambda e: replace(e, crc=1)), "invalid_encoding", "CRC-32")
    book.archive(
        "crc-of-code-wrong",
        changed("hostile_models.py", lambda e: replace(e, crc=1)),
        "invalid_encoding",
        "CRC-32",
    )
    book.archive(
        "headers-disagree",
        changed("data.pkl", lambda e: replace(e, local_name=f"{top}/dada.pkl")),
        "invalid_encoding",
        "differently",
    )
    book.archive(
        "record-past-the-end",
        changed("data/0", lambda e: replace(e, size=1 << 30)),
        "invalid_encoding",
        "past",
    )
    book.archive(
        "records-overlap",
        changed("data/0", lambda e: replace(e, size=len(e.data) + 40)),
        "invalid_encoding",
        "",
    )
    book.archive(
        "big-endian",
        changed("byteorder", lambda e: replace(e, data=b"big")),
        "invalid_encoding",
        "byte order",
    )
    book.archive(
        "version-from-the-future",
        changed("version", lambda e: replace(e, data=b"99\n")),
        "invalid_encoding",
        "version",
    )
    book.archive(
        "no-data", [e for e in entries if not e.name.endswith("/data.pkl")], "invalid_encoding", "data.pkl"
    )
    book.archive(
        "no-constants",
        [e for e in entries if not e.name.endswith("/constants.pkl")],
        "invalid_encoding",
        "constants.pkl",
    )
    book.archive(
        "no-version", [e for e in entries if not e.name.endswith("/version")], "invalid_encoding", "version"
    )
    book.archive("no-code", [e for e in entries if "/code/" not in e.name], "invalid_encoding", "not defined")
    book.archive(
        "too-many-records",
        [*entries, *(Entry(f"{top}/extra/{i}", b"") for i in range(60_000))],
        "too_large",
        "records",
    )
    book.raw("truncated", good[: len(good) // 2], "invalid_encoding", "truncated")
    book.raw("bytes-behind", good + b"x", "invalid_encoding", "end record")
    book.raw("bytes-before", b"#!/bin/sh\n" + good, "invalid_encoding", "zip")
    book.raw("not-a-zip", b"\x80\x02}q\x00." * 100, "invalid_encoding", "zip")
    book.raw("empty", b"", "invalid_encoding", "zip")


def contained_attacks(folder: Path) -> list[dict[str, str]]:
    """Models of allowed operators only, which misbehave when they run; and how a run of each has to end."""
    ends = {
        "loops-for-ever": (models.LoopsForEver(), "timeout"),
        "asks-for-terabytes": (models.AsksForTerabytes(), "too_large"),
        "hoards-memory": (models.HoardsMemory(), "too_large"),
        "overflows-shape": (models.OverflowsShape(), "invalid_argument"),
        "raises": (models.Raises(), "invalid_argument"),
        "divides-by-zero": (models.DividesByZero(), "invalid_argument"),
        "looks-outside-table": (models.LooksOutsideTable(), "invalid_argument"),
    }
    for name, (module, _) in ends.items():
        torch.jit.script(module).save(str(folder / f"{name}.pt"))
    return [{"file": f"{name}.pt", "errc": errc} for name, (_, errc) in ends.items()]


def main(folder: Path) -> None:
    """Writes everything into `folder`."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    book = Book(folder)
    accept = legit_models.write(folder)
    torch.jit.script(models.Plain()).save(str(folder / "plain.pt"))
    torch.jit.freeze(torch.jit.script(models.HasConstants().eval())).save(str(folder / "constants.pt"))
    plain = archives.read(folder / "plain.pt")
    (folder / "rezipped.pt").write_bytes(archives.build(plain))
    accept += ["plain.pt", "constants.pt", "rezipped.pt"]

    code_attacks(book)
    text_attacks(book, plain)
    pickle_attacks(book, plain, archives.read(folder / "constants.pt"))
    container_attacks(book, plain)
    contain = contained_attacks(folder)
    manifest = {"accept": accept, "refuse": book.refuse, "contain": contain}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
