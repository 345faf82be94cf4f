"""What an installation consists of, and what to do about what is missing.

Each finding is a row; none raises.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .._cpus import usable_cpus
from .._errors import Error, NotFound
from .._files import cache_dir, find_part
from .._guests.toolchain import find_tool_chain
from .._training.process import supervisor_command
from .._version import __version__

__all__ = ["Finding", "examine"]

_REINSTALL = "install the package again: pip install ."


@dataclass(frozen=True)
class Finding:
    """One part: whether it is there, what it is, and the advice when it is not."""

    part: str
    ok: bool
    detail: str
    advice: str = ""


def _native() -> str:
    tool = supervisor_command()[0]
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise NotFound(f"{tool} does not start: {done.stderr.strip() or done.returncode}")
    return f"{done.stdout.strip()} ({tool})"


def _core_module() -> str:
    from .. import _core, _graph_core, _graph_format

    return f"{_core.__file__}, {_graph_core.__file__}, {_graph_format.__file__}"


def _engine() -> str:
    from .. import _core

    version = _core.engine_version()
    try:
        source = json.loads(find_part("lib/source.json").read_text())
    except (NotFound, ValueError, KeyError):
        return f"{version}, installed on this machine"
    return f"{version}, from {source['source']}"


def _torch() -> str:
    return f"{importlib.metadata.version('torch')}"


def _cpu() -> str:
    import torch

    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def _threads() -> str:
    return f"{usable_cpus()} usable"


def _tool_chain() -> str:
    tools = find_tool_chain()
    return f"{tools.name} ({tools.cxx[0]})"


def _compiler() -> str:
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("apache-tvm", "onnx"))
    return ", ".join(versions)


def _node() -> str:
    try:
        done = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError as error:
        raise NotFound("there is no program `node`") from error
    return done.stdout.strip()


def _cache() -> str:
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise NotFound(f"{folder} cannot be written")
    return str(folder)


def _required(package: str) -> str:
    """A dependency as this package's own metadata names it, with the version."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("wasmgrad") or ():
            if re.match(rf"{package}\b", requirement):
                return requirement
    return package


_CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("wasmgrad", lambda: f"{__version__}, Python {platform.python_version()}", ""),
    ("native tool", _native, _REINSTALL),
    ("native core", _core_module, _REINSTALL),
    ("WasmEdge", _engine, "set WASMEDGE_ROOT to an installed WasmEdge, or " + _REINSTALL),
    ("torch", _torch, f"pip install {_required('torch')}"),
    ("CPU", _cpu, f"pip install {_required('torch')}"),
    ("threads", _threads, ""),
    ("guest", lambda: str(find_part("guests/mnist_train.wasm")), _REINSTALL),
    ("MNIST", lambda: str(find_part("data/mnist", "data/mnist")), "name your own files with --data DIR"),
    ("SDK headers", lambda: str(find_part("sdk/include", "guests/sdk/include")), _REINSTALL),
    ("tool chain", _tool_chain, "pip install ziglang"),
    ("compiler", _compiler, "pip install 'wasmgrad[compile]'"),
    ("graph runtime", lambda: str(find_part("graph_runtime/wasm32")), _REINSTALL),
    ("wasmtime", lambda: importlib.metadata.version("wasmtime"), "pip install wasmtime"),
    ("Node", _node, "install Node.js 20 or newer to run models with --engine node"),
    ("cache", _cache, "set WASMGRAD_CACHE to a directory that can be written"),
)


def examine() -> list[Finding]:
    """All findings, in the order in which a user would mend them."""
    findings = []
    for part, check, advice in _CHECKS:
        try:
            findings.append(Finding(part, True, check()))
        except (
            Error,
            OSError,
            ImportError,
            importlib.metadata.PackageNotFoundError,
            subprocess.SubprocessError,
        ) as error:
            findings.append(Finding(part, False, str(error), advice))
    return findings


def as_json(findings: list[Finding]) -> str:
    """The findings as one JSON document."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)
