"""What a `torch.export` program (.pt2) says of itself, read as data: without torch, and nothing is unpickled."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InvalidEncoding

__all__ = ["ExportedSummary", "read_exported"]

_MOST_BYTES = 16 << 20
_DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}


@dataclass(frozen=True)
class ExportedSummary:
    """Inputs and outputs as "name: type[extents]", where an open extent is its symbol."""

    inputs: list[str]
    outputs: list[str]
    operators: dict[str, int]
    parameters: int
    torch: str


def read_exported(path: Path) -> ExportedSummary:
    """Errors: `InvalidEncoding` when it is not what `torch.export.save` writes."""
    try:
        with zipfile.ZipFile(path) as file:
            program = _json(file, "models/", ".json")
            weights = _json(file, "data/weights/", "_weights_config.json")
        graph = program["graph_module"]["graph"]
        signature = program["graph_module"]["signature"]
        values = graph["tensor_values"]
        tensors = weights["config"].values()
        return ExportedSummary(
            [
                _text(spec["user_input"]["arg"], values)
                for spec in signature["input_specs"]
                if "user_input" in spec
            ],
            [
                _text(spec["user_output"]["arg"], values)
                for spec in signature["output_specs"]
                if "user_output" in spec
            ],
            dict(Counter(_operator(node["target"]) for node in graph["nodes"]).most_common()),
            sum(math.prod(_extents(tensor["tensor_meta"])) for tensor in tensors if tensor["is_param"]),
            str(program["torch_version"]),
        )
    except (
        zipfile.BadZipFile,
        AttributeError,
        KeyError,
        NotImplementedError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise InvalidEncoding(f"{path}: not a torch.export program: {error}") from error


def _json(file: zipfile.ZipFile, folder: str, end: str) -> Any:
    """The one record of the folder below the archive's top that ends so."""
    found = [
        info
        for info in file.infolist()
        if info.filename.partition("/")[2].startswith(folder) and info.filename.endswith(end)
    ]
    if len(found) != 1 or found[0].file_size > _MOST_BYTES:
        raise ValueError(f"expected one record {folder}*{end} of at most {_MOST_BYTES} bytes")
    return json.loads(file.read(found[0]))


def _extents(meta: Any) -> list[int]:
    return [int(size["as_int"]) for size in meta["sizes"]]


def _text(argument: Any, values: Any) -> str:
    if "as_tensor" not in argument:
        return str(next(iter(argument))).removeprefix("as_")
    name = argument["as_tensor"]["name"]
    meta = values[name]
    extents = (str(size["as_int"]) if "as_int" in size else _symbol(size) for size in meta["sizes"])
    return f"{name}: {_DTYPES.get(meta['dtype'], 'unknown')}[{', '.join(extents)}]"


def _symbol(size: Any) -> str:
    """`Symbol('s77', positive=True, integer=True)` is s77."""
    return re.sub(r"Symbol\('(\w+)'[^)]*\)", r"\1", size["as_expr"]["expr_str"])


def _operator(target: str) -> str:
    """`torch.ops.aten.conv2d.default` is conv2d."""
    return (
        target.removeprefix("torch.ops.aten.").partition(".")[0]
        if target.startswith("torch.ops.aten.")
        else target
    )
