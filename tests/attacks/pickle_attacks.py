"""data.pkl and constants.pkl that lie about tensors or reach for other classes."""

from __future__ import annotations

import struct

import hostile_archives as archives
from attack_book import Book, swap
from hostile_archives import Entry


def pickle_attacks(book: Book, entries: list[Entry], constants: list[Entry]) -> None:
    """Models like the one in `entries`, and like the one with `constants`, with other pickles."""
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


def enumeration_attacks(book: Book, entries: list[Entry]) -> None:
    """Models like the one in `entries`, whose attribute is a member of an enumeration."""
    data = archives.record(entries, "data.pkl")
    path = "code/__torch__/hostile_models.py"
    code = archives.record(entries, path)
    member = b"K\x02R"

    def pickle(name: str, changed: bytes, errc: str, word: str) -> None:
        book.archive(name, archives.with_record(entries, "data.pkl", changed), errc, word)

    pickle("member-that-is-none", swap(data, member, b"K\x07R"), "invalid_encoding", "kind")
    pickle("member-of-text", swap(data, member, b"X\x01\x00\x00\x002R"), "invalid_encoding", "kind")
    pickle("member-of-a-float", swap(data, member, b"G" + struct.pack(">d", 2.0) + b"R"), "security", "Kind")
    pickle("member-of-a-tuple", swap(data, member, b"(K\x02tR"), "security", "Kind")
    pickle("member-of-a-class", swap(data, b"\nKind\n", b"\nHasEnumeration\n"), "invalid_encoding", "kind")
    pickle("member-of-nothing", swap(data, b"\nKind\n", b"\nMissing\n"), "invalid_encoding", "kind")
    pickle("number-for-a-member", swap(data, member, b"K\x02"), "invalid_encoding", "")
    other = swap(code, b"SECOND = 2", b"SECOND = 3")
    book.archive(
        "member-of-other-code", archives.with_record(entries, path, other), "invalid_encoding", "kind"
    )
    mixed = swap(code, b"SECOND = 2", b"SECOND = 'a'")
    book.archive("members-of-two-types", archives.with_record(entries, path, mixed), "invalid_encoding", "")
    call = swap(code, b"SECOND = 2", b"SECOND = torch.save(1, 'x')")
    book.archive("member-that-calls", archives.with_record(entries, path, call), "security", "aten::save")
