"""A project that `flwr run` takes: its files, with a policy for each node to begin with."""

from __future__ import annotations

import re
from pathlib import Path

from .._errors import InvalidArgument, NotFound
from ._policy import digest

__all__ = ["new_project"]

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "One model over the data of several owners, trained by a guest"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["{package}"]

[tool.flwr.app]
publisher = "{package}"

[tool.flwr.app.components]
serverapp = "{package}.server_app:app"
clientapp = "{package}.client_app:app"

# What `wasmgrad.federated.federation_of` reads. An app carries no .wasm files, so the server reads the guest and the
# model from where it runs, and sends them with each task.
[tool.flwr.app.config]
guest = "{guest}"
model = "{model}"
args = "{args}"
rounds = 3
nodes = 2
strategy = "fedavg"
checkpoints = "{checkpoints}"
output = "{output}"

[tool.flwr.app.config.option]
epochs = 1
"""

_CLIENT = '''\
"""What a node runs that lets apps bring their own Python. `wasmgrad federated node` runs the same without this file."""

from wasmgrad.federated import client_app

app = client_app()
'''

_SERVER = '''\
"""The server: rounds as pyproject.toml describes them."""

from wasmgrad.federated import server_app

# server_app(evaluate=f) calls f(round, weights by name) before the first round and after each.
app = server_app()
'''

_POLICY = """\
# What guests may do on a node. Only the node's owner changes it; see docs/federated.md.
guests = ["{guest}"]
models = ["*"]
clip_norm = 100.0
epochs = 1
threads = 1

[directories]
"/data" = "{data}"

[limits]
wall_seconds = 600
"""


def new_project(folder: Path, guest: Path, model: str, args: str, data: Path) -> list[Path]:
    """Makes the directory `folder` with a project for a guest, of which it holds a copy, and returns its files.

    model: a file, or a name of the registry. args: the guest's arguments, as one text. data: what the node's policy
    grants as /data. Errors: `InvalidArgument` when `folder` exists and is not empty, `NotFound` for the guest.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidArgument(f"{folder}: exists already; a new project needs a new or empty directory")
    try:
        program = guest.read_bytes()
    except OSError as error:
        raise NotFound(f"{guest}: the guest cannot be read: {error.strerror}") from None
    package = re.sub(r"\W", "_", folder.resolve().name).lower() or "federation"
    package = package if package[0].isalpha() else f"f{package}"
    named = str(Path(model).resolve()) if Path(model).is_file() else model
    values = {
        "name": package.replace("_", "-"),
        "package": package,
        "guest": str(folder.resolve() / "guest.wasm"),
        "model": named,
        "args": args,
        "checkpoints": str(folder.resolve() / "rounds"),
        "output": str(folder.resolve() / "trained.safetensors"),
    }
    files = {
        "pyproject.toml": _PROJECT.format(**{key: _quoted(value) for key, value in values.items()}),
        f"{package}/__init__.py": "",
        f"{package}/client_app.py": _CLIENT,
        f"{package}/server_app.py": _SERVER,
        "policy.toml": _POLICY.format(guest=digest(program), data=_quoted(str(data.resolve()))),
    }
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents, encoding="utf-8")
    (folder / "guest.wasm").write_bytes(program)
    return [folder / name for name in (*files, "guest.wasm")]


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
