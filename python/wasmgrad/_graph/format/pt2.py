"""What a `torch.export` program (.pt2) says of itself, read as data: without torch, and nothing is unpickled."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._errors import InvalidEncoding

__all__ = ["ExportedProgram", "ExportedTensor", "read_exported"]

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
class ExportedTensor:
    """Its name in the graph, its element type's name, and its extents, an open one as its symbol."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class ExportedProgram:
    """What a program says of itself.

    `inputs` and `outputs`: those of the user that are tensors. `keys`: of each output, those on the way to it joined by
    dots, where a dictionary is among what holds it.
    """

    inputs: list[ExportedTensor]
    outputs: list[ExportedTensor]
    keys: list[str | None]
    operators: dict[str, int]
    parameters: int
    torch: str


def read_exported(archive: bytes, path: Path) -> ExportedProgram:
    """The file's bytes, read. Errors: `InvalidEncoding` when it is not what `torch.export.save` writes."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            program = _json(file, "models/", ".json")
            weights = _json(file, "data/weights/", "_weights_config.json")
        graph = program["graph_module"]["graph"]
        signature = program["graph_module"]["signature"]
        values = graph["tensor_values"]
        tensors = weights["config"].values()
        results = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
        keys = _keys(_tree_of_outputs(program["graph_module"]))
        if len(keys) != len(results):
            raise ValueError(f"it has {len(results)} outputs, and a place for {len(keys)}")
        return ExportedProgram(
            [
                _tensor(spec["user_input"]["arg"], values)
                for spec in signature["input_specs"]
                if "as_tensor" in spec.get("user_input", {}).get("arg", {})
            ],
            [_tensor(result, values) for result in results if "as_tensor" in result],
            [key for key, result in zip(keys, results, strict=True) if "as_tensor" in result],
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


def _tensor(argument: Any, values: Any) -> ExportedTensor:
    name = argument["as_tensor"]["name"]
    meta = values[name]
    extents = (int(size["as_int"]) if "as_int" in size else _symbol(size) for size in meta["sizes"])
    return ExportedTensor(str(name), _DTYPES.get(meta["dtype"], "unknown"), tuple(extents))


def _tree_of_outputs(module: Any) -> Any:
    """How the outermost call packs its results; `[version, tree]` in the file."""
    (whole,) = (call for call in module["module_call_graph"] if call["fqn"] == "")
    _, tree = json.loads(whole["signature"]["out_spec"])
    return tree


def _keys(tree: Any) -> list[str | None]:
    """Of each leaf of a tree of torch's pytree, the way to it."""
    return [
        ".".join(str(step) for step in way) if in_dictionary else None
        for way, in_dictionary in _leaves(tree, (), in_dictionary=False)
    ]


def _leaves(
    tree: Any, way: tuple[object, ...], *, in_dictionary: bool
) -> list[tuple[tuple[object, ...], bool]]:
    if tree["type"] is None:
        return [(way, in_dictionary)]
    children = tree["children_spec"]
    # What is no sequence names its parts, as a dict does.
    is_dictionary = tree["type"] not in ("builtins.tuple", "builtins.list", "collections.namedtuple")
    steps = json.loads(tree["context"]) if is_dictionary else range(len(children))
    return [
        leaf
        for step, child in zip(steps, children, strict=True)
        for leaf in _leaves(child, (*way, step), in_dictionary=in_dictionary or is_dictionary)
    ]


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
