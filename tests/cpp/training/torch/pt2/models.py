"""Writes models twice, as TorchScript and as torch.export programs, and programs that must be refused.

Run by CTest as a fixture: `models.py DIRECTORY`. Everything is small and seeded.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

sys.path.insert(0, str(Path(__file__).parents[5] / "python"))
from wasmgrad.models import registry

Records = dict[str, bytes]
PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


class ResNet18(nn.Module):
    """ResNet-18 for 3x32x32 images: eight basic blocks, narrow so that tests are quick."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        blocks: list[nn.Module] = []
        inputs = width
        for stage in range(4):
            outputs = width << stage
            blocks += [BasicBlock(inputs, outputs, 1 if stage == 0 else 2), BasicBlock(outputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class Tied(nn.Module):
    """Two layers with one weight, a frozen parameter, and a dict of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.full((4,), 0.5), requires_grad=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.first(x)
        return {"z": self.second(hidden), "a": hidden * self.scale}


class Counting(nn.Module):
    """Buffers that forward changes through a view, an in-place result that is used, lists and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("calls", torch.zeros(3))
        self.register_buffer("offset", torch.arange(3.0), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.calls[0:1].add_(1)
        first, second = (
            (x * self.weight + self.offset).reshape(x.size(0) * 3).view(x.size(0), 3).split([1, 2], 1)
        )
        return torch.cat([second, first], 1) + torch.tensor([1.0, 2.0, 3.0]), self.calls.add_(0)


class Sequence(nn.Module):
    """Embedding, attention, LSTM: integers and a mask go in."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.lstm = nn.LSTM(8, 8, batch_first=True)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embedding(ids)
        x, _ = self.attention(x, x, x, need_weights=False)
        x, _ = self.lstm(x)
        left, right = x.chunk(2, -1)
        return (x * mask.unsqueeze(-1)).mean(1), torch.max(left, 1)[0] + right.sum(1)


class OwnLoss(nn.Module):
    """Computes its loss itself, with statistics of its input that training updates."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(3, track_running_stats=True)
        self.batch = nn.BatchNorm1d(3, track_running_stats=False)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        y = self.fc(self.batch(self.norm(x).mean(2)))
        return {"loss": nn.functional.cross_entropy(y, target), "out": y}


BATCH = Dim("batch")


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(11)
    return make()


def exported(module: nn.Module, *example: Tensor, dynamic: bool = True) -> bytes:
    shapes = tuple({0: BATCH} for _ in example) if dynamic else None
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def records_of(archive: bytes) -> Records:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def archive_of(records: Records) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in records.items():
            file.writestr("archive/" + name, data)
    return buffer.getvalue()


def edited(records: Records, name: str, edit: Callable[[Any], object]) -> bytes:
    """The archive after `edit` has changed one of its JSON records."""
    content = json.loads(records[name])
    edit(content)
    return archive_of(records | {name: json.dumps(content).encode()})


def node_edit(index: int, edit: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda program: edit(program["graph_module"]["graph"]["nodes"][index])


def signature_edit(edit: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda program: edit(program["graph_module"]["signature"])


def meta_edit(key: str, value: object) -> Callable[[Any], object]:
    return lambda config: config["config"]["0.weight"]["tensor_meta"].__setitem__(key, value)


def sizes(*values: int) -> list[dict[str, int]]:
    return [{"as_int": value} for value in values]


def hostile() -> dict[str, bytes]:
    """Variants of one small program, each with one thing wrong."""
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    good = exported(module, torch.randn(2, 4))
    records = records_of(good)
    entry = "0.weight"

    def program(edit: Callable[[Any], object]) -> bytes:
        return edited(records, PROGRAM, edit)

    def weights(edit: Callable[[Any], object]) -> bytes:
        return edited(records, WEIGHTS, edit)

    def renamed(name: str) -> bytes:
        """The program with another name for its bias."""
        content, config = json.loads(records[PROGRAM]), json.loads(records[WEIGHTS])
        content["graph_module"]["signature"]["input_specs"][1]["parameter"]["parameter_name"] = name
        config["config"][name] = config["config"].pop("0.bias")
        changed = {PROGRAM: json.dumps(content).encode(), WEIGHTS: json.dumps(config).encode()}
        return archive_of(records | changed)

    duplicate = io.BytesIO()
    with zipfile.ZipFile(duplicate, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, data in [*records.items(), ("data/weights/weight_0", b"\0" * 48)]:
            file.writestr("archive/" + name, data)

    return {
        "unknown_operator": program(
            node_edit(1, lambda node: node.update(target="torch.ops.aten.from_file.default"))
        ),
        "custom_operator": program(
            node_edit(1, lambda node: node.update(target="torch.ops.evil.run.default"))
        ),
        "out_overload": program(node_edit(1, lambda node: node.update(target="torch.ops.aten.relu.out"))),
        "unknown_overload": program(node_edit(1, lambda node: node.update(target="torch.ops.aten.relu.no"))),
        "python_function": program(node_edit(1, lambda node: node.update(target="os.system"))),
        "higher_order": program(node_edit(1, lambda node: node.update(target="torch.ops.higher_order.cond"))),
        "wrong_argument": program(node_edit(1, lambda node: node["inputs"][0].update(name="input_"))),
        "argument_of_wrong_type": program(
            node_edit(1, lambda node: node["inputs"][0].update(arg={"as_string": "x"}))
        ),
        "number_for_tensor": program(node_edit(1, lambda node: node["inputs"][0].update(arg={"as_int": 3}))),
        "graph_argument": program(
            node_edit(1, lambda node: node["inputs"][0].update(arg={"as_graph": {"name": "g", "graph": {}}}))
        ),
        "kind_with_line_break": program(
            node_edit(1, lambda node: node["inputs"][0].update(arg={"as_\nten": 1}))
        ),
        "undefined_name": program(
            node_edit(1, lambda node: node["inputs"][0].update(arg={"as_tensor": {"name": "nowhere"}}))
        ),
        "cyclic_name": program(
            node_edit(1, lambda node: node["inputs"][0].update(arg={"as_tensor": {"name": "relu"}}))
        ),
        "name_defined_twice": program(
            node_edit(1, lambda node: node.update(outputs=[{"as_tensor": {"name": "linear"}}]))
        ),
        "too_many_outputs": program(node_edit(1, lambda node: node["outputs"].append(node["outputs"][0]))),
        "number_output": program(
            signature_edit(
                lambda signature: signature.update(output_specs=[{"user_output": {"arg": {"as_int": 3}}}])
            )
        ),
        "number_input": program(
            signature_edit(
                lambda signature: signature["input_specs"].append(
                    {"user_input": {"arg": {"as_sym_int": {"as_name": "n"}}}}
                )
            )
        ),
        "taken_name": renamed("0"),
        "name_with_an_empty_piece": renamed("0..bias"),
        "name_with_quotes": renamed('x"); evil("'),
        "mode_as_parameter": renamed("training"),
        "method_as_parameter": renamed("forward"),
        "name_with_control_characters": renamed("a\n\t\0b"),
        "newer_format": program(lambda content: content["schema_version"].update(major=9)),
        "deep_json": archive_of(records | {PROGRAM: b"[" * 1_000_000}),
        "deep_objects": archive_of(records | {PROGRAM: b'{"a":' * 100_000 + b"1" + b"}" * 100_000}),
        "repeated_key": archive_of(records | {PROGRAM: b'{"graph_module": {}, ' + records[PROGRAM][1:]}),
        "not_json": archive_of(records | {PROGRAM: b"\x80\x02."}),
        "not_an_object": archive_of(records | {PROGRAM: b"[1, 2]"}),
        "pickled_weight": weights(lambda config: config["config"][entry].update(use_pickle=True)),
        "missing_weight": weights(lambda config: config["config"].pop(entry)),
        "missing_record": weights(lambda config: config["config"][entry].update(path_name="weight_9")),
        "path_outside": weights(lambda config: config["config"][entry].update(path_name="../../byteorder")),
        "sizes_beyond_record": weights(meta_edit("sizes", sizes(4000, 4))),
        "strides_beyond_record": weights(meta_edit("strides", sizes(4000, 1))),
        "offset_beyond_record": weights(meta_edit("storage_offset", {"as_int": 1})),
        "negative_size": weights(meta_edit("sizes", sizes(-3, -4))),
        "negative_stride": weights(meta_edit("strides", sizes(-4, 1))),
        "negative_offset": weights(meta_edit("storage_offset", {"as_int": -1})),
        "overflowing_sizes": weights(meta_edit("sizes", sizes(1 << 62, 1 << 62))),
        "huge_number": weights(meta_edit("sizes", sizes(1 << 64, 4))),
        "repeating_strides": weights(
            lambda config: config["config"][entry]["tensor_meta"].update(
                sizes=sizes(1 << 20, 1 << 19), strides=sizes(0, 0)
            )
        ),
        "huge_rank": weights(
            lambda config: config["config"][entry]["tensor_meta"].update(
                sizes=sizes(*[1] * 5000), strides=sizes(*[1] * 5000)
            )
        ),
        "symbolic_size": weights(meta_edit("sizes", [{"as_expr": {"expr_str": "s0"}}])),
        "sparse_layout": weights(meta_edit("layout", 1)),
        "unknown_type": weights(meta_edit("dtype", 29)),
        "integer_parameter": weights(meta_edit("dtype", 4)),
        "native_code": archive_of(records | {"data/aotinductor/model/model.so": b"\x7fELF"}),
        "several_programs": archive_of(records | {"models/other.json": records[PROGRAM]}),
        "no_program": archive_of({name: data for name, data in records.items() if name != PROGRAM}),
        "big_endian": archive_of(records | {"byteorder": b"big"}),
        "duplicate_record": duplicate.getvalue(),
        "path_trick": archive_of(records | {"data/weights/../../../escape": b"x"}),
        "truncated": good[: len(good) // 2],
        "static_batch": exported(module, torch.randn(2, 4), dynamic=False),
        "decomposed": saved(
            torch.export.export(
                nn.Sequential(nn.BatchNorm1d(4)), (torch.randn(2, 4),), dynamic_shapes=({0: BATCH},)
            ).run_decompositions()
        ),
    }


def saved(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    (directory / "hostile").mkdir(parents=True, exist_ok=True)
    image, colours = torch.randn(2, 1, 28, 28), torch.randn(2, 3, 32, 32)
    ids, mask = torch.zeros(2, 5, dtype=torch.long), torch.ones(2, 5)
    models: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
        "mnist-cnn": (registry["mnist-cnn"].make, (image,)),
        "lenet-5": (registry["lenet-5"].make, (image,)),
        "mlp": (registry["mlp"].make, (image,)),
        "resnet-18": (ResNet18, (colours,)),
        "tied": (Tied, (torch.randn(2, 4),)),
        "counting": (Counting, (torch.randn(2, 3),)),
        "sequence": (Sequence, (ids, mask)),
        "own-loss": (OwnLoss, (torch.randn(2, 3, 4), torch.zeros(2, dtype=torch.long))),
    }
    for name, (make, example) in models.items():
        torch.jit.script(seeded(make)).save(str(directory / f"{name}.pt"))
        (directory / f"{name}.pt2").write_bytes(exported(seeded(make).train(), *example))
        if name in ("mnist-cnn", "resnet-18"):
            (directory / f"{name}-eval.pt2").write_bytes(exported(seeded(make).eval(), *example))
    for name, archive in hostile().items():
        (directory / "hostile" / f"{name}.pt2").write_bytes(archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
