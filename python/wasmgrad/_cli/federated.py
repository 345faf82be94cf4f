"""`wasmgrad federated`: a project for Flower, a try of it on this computer, and a node under a policy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import InvalidArgument, NotFound

__all__ = ["federated_app"]

federated_app = typer.Typer(
    no_args_is_help=True, help="Train one model over the data of several owners, through Flower."
)


@federated_app.command("new")
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Directory to make.")],
    guest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The guest that trains.", show_default="the packaged one"),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A model of the registry, or a file.")
    ] = "lenet-5",
    args: Annotated[str, typer.Option(metavar="TEXT", help="The guest's arguments.")] = "--model model",
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What guests see as /data.", show_default="MNIST")
    ] = None,
) -> None:
    """Make a project that `flwr run` takes, and a policy for its nodes."""
    from .._files import find_part
    from .._training.default import prepare_mnist
    from ..federated._project import new_project

    program = find_part("guests/mnist_train.wasm") if guest is None else guest
    for file in new_project(folder, program, model, args, prepare_mnist() if data is None else data):
        print(file)
    print(f"try it with: wasmgrad federated run {folder} --policy {folder / 'policy.toml'}")


@federated_app.command("run")
def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A project.")],
    policy: Annotated[
        list[Path], typer.Option(metavar="FILE", help="The policy of a node; once for each node.")
    ],
    changed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value in the run's configuration."),
    ] = None,
) -> None:
    """Run a project's rounds in this process, without a network: every policy is a node."""
    from ..federated import Policy, federation_of, run_rounds
    from ..federated._grid import LocalGrid

    nodes = [Policy.load(file) for file in policy]
    config = {**_run_config(folder), "nodes": len(nodes)} | _changes(changed or [])
    federation = federation_of(config)
    _, result = run_rounds(federation, LocalGrid(nodes))
    if result is None:
        print(f"all {federation.rounds} rounds were done before; checkpoints holds them")
        return
    for number, metrics in result.train_metrics_clientapp.items():
        shown = ", ".join(f"{key} {value:.4g}" for key, value in sorted(metrics.items()))
        print(f"round {number}: {shown}")


@federated_app.command(
    "node",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
def node(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="What guests may do here.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="Those of flower-supernode.")
    ] = None,
) -> None:
    """Run a SuperNode of Flower's on which nothing of an app runs but its guest."""
    from ..federated._node import run_node

    code = run_node(policy, arguments or [])
    if code != 0:
        raise typer.Exit(code if 0 < code < 126 else 1)


def _run_config(folder: Path) -> dict[str, Any]:
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: not TOML: {error}") from None
    try:
        return _flat(project["tool"]["flwr"]["app"]["config"])
    except (KeyError, AttributeError):
        raise InvalidArgument(f"{file}: has no [tool.flwr.app.config]") from None


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """As Flower hands it to an app: the keys of tables within tables joined by points."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _changes(entries: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise InvalidArgument(f"--set {entry}: expected KEY=VALUE")
        try:
            changes[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key] = value
    return changes
