"""The `wasmgrad` command: its subcommands, and how failures end it. The work is done elsewhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer

from .._errors import Error, GuestExit, Interrupted, InvalidArgument, PeerLost, TimeLimit
from .._training.options import Limits
from .._version import __version__
from .bench import bench
from .compile import compile_command, compile_op
from .federated import federated_app
from .graph import inspect, run
from .options import ArgsArgument, DirOption, EngineOption, EnvOption, ModelOption, pairs, with_limits
from .train import train

__all__ = ["app", "main"]

_GUEST_ARGUMENTS = {"allow_interspersed_args": False}  # what follows GUEST is the guest's

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
guest_app = typer.Typer(no_args_is_help=True, help="Write, build and run guests.")
app.add_typer(guest_app, name="guest")
app.add_typer(federated_app, name="federated")
app.command("train", context_settings=_GUEST_ARGUMENTS)(train)
app.command("compile")(compile_command)
app.command("compile-op")(compile_op)
app.command("run")(run)
app.command("inspect")(inspect)
app.command("bench")(bench)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"wasmgrad {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Train and run neural networks from inside a WebAssembly sandbox."""


@app.command()
def model(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A model of the registry.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default="NAME.pt"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights.")] = 0,
    list_all: Annotated[bool, typer.Option("--list", help="List the registry.")] = False,
) -> None:
    """Write a model of the registry as a TorchScript file, or as a torch.export program if FILE ends in .pt2."""
    from .. import models
    from .._files import write_atomic

    if list_all:
        width = max(map(len, models.names()))
        for definition in models.registry.values():
            shape = "x".join(map(str, definition.input_shape))
            print(f"{definition.name:<{width}}  {shape} -> {definition.outputs}  {definition.summary}")
        return
    if name is None:
        raise InvalidArgument(f"model: a NAME is needed; the registry holds {', '.join(models.names())}")
    path = Path(f"{name}.pt") if output is None else output
    archive = models.build(name, seed, exported=path.suffix == ".pt2")
    write_atomic(path, archive)
    print(f"{path}: {len(archive):,} bytes")


@guest_app.command("new")
def guest_new(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Directory to make.")],
    language: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Language of its source: c, cpp, rust, assemblyscript, js or python."
        ),
    ] = "cpp",
) -> None:
    """Make a directory with a small guest to start from."""
    from .._guests.toolchain import new_guest

    for file in new_guest(folder, language):
        print(file)
    print(f"build it with: wasmgrad guest build {folder}")


@guest_app.command("build")
def guest_build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Directory with its sources.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The wasm file.", show_default="DIR/<its name>.wasm"
        ),
    ] = None,
) -> None:
    """Compile a guest to WebAssembly."""
    from .._guests.toolchain import build_guest

    built = build_guest(folder, output)
    print(f"{built}: {built.stat().st_size:,} bytes")


@guest_app.command("run", context_settings=_GUEST_ARGUMENTS)
@with_limits
def guest_run(
    guest: Annotated[Path, typer.Argument(metavar="FILE", help="A wasm file.")],
    args: ArgsArgument = None,
    directory: DirOption = None,
    model_file: ModelOption = None,
    env: EnvOption = None,
    *,
    limits: Limits,
    engine: EngineOption = None,
) -> None:
    """Run any guest in the sandbox. Its exit code becomes this command's."""
    from .._training.run import Sandbox

    sandbox = Sandbox(
        guest,
        args=args or [],
        dirs=directory or [],
        models=pairs("--model", model_file),
        env=pairs("--env", env),
        limits=limits,
        engine=engine,
    )

    def show(event: object) -> None:
        if isinstance(event, dict) and event["event"] == "console":
            stream = sys.stdout if event["stream"] == "stdout" else sys.stderr
            stream.write(event["text"])
            stream.flush()

    code = sandbox.run(on_event=show).exit_code
    if code != 0:
        raise typer.Exit(_exit_code_of_guest(code))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Say what this installation consists of, and what to do about what is missing."""
    from . import doctor as checks

    findings = checks.examine()
    if as_json:
        print(checks.as_json(findings))
    else:
        for finding in findings:
            print(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.part:<13} {finding.detail}")
            if not finding.ok and finding.advice:
                print(f"         {'':<13} -> {finding.advice}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _exit_code_of_guest(code: int) -> int:
    """A guest's own code where a shell would not take it for a signal; any other failure is 1."""
    return code if code <= 125 else 1


def exit_code_of(error: Error) -> int:
    """As the native tools: the guest's own, 124 for a time limit, 130 after Ctrl-C, 75 for a lost peer, else 3."""
    if isinstance(error, GuestExit):
        return _exit_code_of_guest(error.exit_code)
    codes = {TimeLimit: 124, Interrupted: 130, PeerLost: 75}
    return codes.get(type(error), 3)


def _refusals() -> type[Exception]:
    """What typer raises for options that do not fit: an exception of its own, or of click in versions built on it."""
    own = getattr(typer, "TyperException", None)
    return cast(type[Exception], own or importlib.import_module("click").ClickException)


def main() -> NoReturn:
    """The command line. Every failure is one sentence on standard error and a non-zero exit code."""
    try:
        code = app(standalone_mode=False)
    except Error as error:
        print(f"wasmgrad: {error.message}", file=sys.stderr)
        sys.exit(exit_code_of(error))
    except typer.Abort:
        sys.exit(130)
    except _refusals() as error:
        refused: Any = error
        message = refused.format_message()
        if message:
            print(f"wasmgrad: {message}", file=sys.stderr)
        sys.exit(refused.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
