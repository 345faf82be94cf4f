"""The metadata of graph modules as Python has it. What must be refused stands in tests/graph_modules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wasmgrad import InvalidEncoding, Unsupported
from wasmgrad._graph.format.metadata import GraphMetadata, Preprocess

from .conftest import COLORS, METADATA, TOTAL


def read(document: Any) -> GraphMetadata:
    return GraphMetadata.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("document", [METADATA, COLORS, METADATA | {"states": [TOTAL]}])
def test_metadata_survives_being_written_and_read(document: dict[str, Any]) -> None:
    made = read(document)
    written = json.loads(made.to_json())
    assert {**written, "preprocess": None} == {**document, "preprocess": None}
    assert GraphMetadata.from_json(made.to_json()) == made


def test_tensors_describe_themselves() -> None:
    metadata = read(METADATA)
    assert [str(info) for info in metadata.inputs] == ["a: float32[2, 3]", "b: float32[2, 3]", "n: int64[]"]
    assert [info.nbytes for info in metadata.inputs] == [24, 24, 8]


def test_unknown_keys_are_left_alone(metadata: dict[str, Any]) -> None:
    metadata["later"] = {"anything": 1}
    assert read(metadata) == read(METADATA)


def test_operators_are_listed_from_the_most_frequent_on(metadata: dict[str, Any]) -> None:
    metadata["operators"] = {"Add": 1, "Relu": 3, "Mul": 2}
    assert list(read(metadata).operators) == ["Relu", "Mul", "Add"]


def test_a_newer_abi_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="graph ABI 2; this version of wasmgrad runs ABI 1"):
        read({"abi": 2, "everything": "else is different"})


def test_a_wrong_value_is_refused_at_its_place(metadata: dict[str, Any]) -> None:
    metadata["inputs"][0]["shape"][1] = -1
    with pytest.raises(
        InvalidEncoding, match=r"^metadata.inputs\[0\].shape\[1\] is -1; expected an integer from 0"
    ):
        read(metadata)


def test_preprocessing_is_read_alone() -> None:
    how = Preprocess.parse(json.dumps(COLORS["preprocess"]).encode())
    assert how == read(COLORS).preprocess
    assert (how.crop, how.resize, how.mean) == ((8, 8), None, (0, 0, 0))


def test_a_wrong_preprocessing_is_refused_at_its_place() -> None:
    with pytest.raises(InvalidEncoding, match=r"^preprocess.std is \[1,0,1\]; expected numbers other than 0"):
        Preprocess.parse(json.dumps(COLORS["preprocess"] | {"std": [1, 0, 1]}).encode())
