"""The metadata of graph modules: read back as written, and refused at the place that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wasmgrad import InvalidEncoding, Unsupported
from wasmgrad._graph.format.metadata import GraphMetadata, Preprocess

from .conftest import COLORS, METADATA


def read(document: Any) -> GraphMetadata:
    return GraphMetadata.from_json(json.dumps(document))


@pytest.mark.parametrize("document", [METADATA, COLORS])
def test_metadata_survives_being_written_and_read(document: dict[str, Any]) -> None:
    made = read(document)
    assert GraphMetadata.from_json(made.to_json()) == made


def test_tensors_describe_themselves() -> None:
    metadata = read(METADATA)
    assert [str(info) for info in metadata.inputs] == ["a: float32[2, 3]", "b: float32[2, 3]", "n: int64[]"]
    assert [info.nbytes for info in metadata.inputs] == [24, 24, 8]


def test_unknown_keys_are_left_alone(metadata: dict[str, Any]) -> None:
    metadata["later"] = {"anything": 1}
    assert read(metadata) == read(METADATA)


def test_a_newer_abi_is_unsupported(metadata: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="graph ABI 2; this version of wasmgrad reads up to 1"):
        read({"abi": 2, "everything": "else is different"})


@pytest.mark.parametrize("text", ["", "{", "\ud800".encode("utf-8", "surrogatepass"), "[" * 100_000])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidEncoding, match="not JSON"):
        GraphMetadata.from_json(text)


@pytest.mark.parametrize("document", [None, [], 1, "text"])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(InvalidEncoding, match="metadata: expected an object"):
        read(document)


@pytest.mark.parametrize("key", [key for key in METADATA if key not in ("preprocess", "labels")])
def test_a_missing_part_is_named(metadata: dict[str, Any], key: str) -> None:
    del metadata[key]
    with pytest.raises(InvalidEncoding, match=f"metadata.{key}"):
        read(metadata)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("abi",), 0, "metadata.abi"),
        (("abi",), True, "metadata.abi"),
        (("abi",), "1", "metadata.abi"),
        (("inputs", 0, "shape", 0), -1, r"metadata.inputs\[0\].shape\[0\]"),
        (("inputs", 0, "shape", 0), 2.0, r"metadata.inputs\[0\].shape\[0\]"),
        (("inputs", 0, "shape", 0), 1 << 40, r"metadata.inputs\[0\].shape\[0\]"),
        (("inputs", 0, "shape"), [1 << 20, 1 << 20], r"metadata.inputs\[0\].shape: expected a tensor of less"),
        (("inputs", 0, "shape"), [1 << 18], "a: .* 1,048,576 bytes, more than the 262,144 of the memory"),
        (("inputs", 0, "dtype"), "float31", r"metadata.inputs\[0\].dtype"),
        (("inputs", 0, "dtype"), ["float32"], r"metadata.inputs\[0\].dtype"),
        (("inputs", 0, "name"), "b", "metadata.inputs: expected names that differ"),
        (("outputs", 1, "name"), None, r"metadata.outputs\[1\].name"),
        (("operators",), {"Add": -1}, "metadata.operators.Add"),
        (("flops",), -1, "metadata.flops"),
        (("parameters",), 1 << 80, "metadata.parameters"),
        (("memory", "bytes"), (1 << 32) + 1, "metadata.memory.bytes"),
        (("memory", "workspace"), 4 * 65536, "metadata.memory: expected weights and workspace within"),
        (("weights", "bytes"), 65, "metadata.weights"),
        (("weights", "sha256"), "00", "metadata.weights.sha256"),
        (("weights", "mode"), "elsewhere", "metadata.weights.mode"),
        (("options", "simd"), "256", "metadata.options.simd"),
        (("plan", 1, "flops"), None, r"metadata.plan\[1\].flops"),
        (("labels",), [1], r"metadata.labels\[0\]"),
        (("preprocess",), {"kind": "sound"}, "metadata.preprocess.kind"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_at_its_place(
    metadata: dict[str, Any], path: tuple[str | int, ...], value: Any, place: str
) -> None:
    *way, last = path
    node: Any = metadata
    for step in way:
        node = node[step]
    node[last] = value
    with pytest.raises(InvalidEncoding, match=place):
        read(metadata)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("crop", 0), ("crop", [8, 8, 8]), ("resize", 7), ("interpolation", "guess"), ("layout", "CHW"),
        ("color", "CMYK"), ("scale", "1"), ("scale", float("nan")), ("scale", 10**400), ("mean", [0, 0]),
        ("std", [1, 0, 1]),
    ],
)  # fmt: skip
def test_a_wrong_preprocessing_is_refused_at_its_place(key: str, value: Any) -> None:
    with pytest.raises(InvalidEncoding, match=f"preprocess.{key}"):
        Preprocess.parse(json.dumps(COLORS["preprocess"] | {key: value}))
