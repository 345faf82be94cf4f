"""The `bench` command: runs a suite of `benchmarks/`, shows what it found, and says what has become slower.

The suites need peers, models and data of the source tree, so they run in a checkout.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import InvalidArgument, NotFound, RuntimeFailure, Unsupported

__all__ = ["bench"]


def bench(
    suite: Annotated[
        str | None, typer.Argument(metavar="SUITE", help="Which suite; none: list them.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this model; may be repeated.")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Turns of each contestant.", min=2, show_default="the suite's"),
    ] = None,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure nothing: show this report.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report here.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it here, as SVG or PNG.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fail where a ratio is a tenth below that in this report."),
    ] = None,
) -> None:
    """Measure speed beside others, in turns on this machine: training, compiled models, browsers."""
    reports = _part("report")
    stored = None if against is None else _read(reports, against)
    if show is not None:
        found = _read(reports, show)
    elif suite is not None:
        found = _measured(suite, model or [], rounds)
    else:
        suites = _part("suites")
        for name in suites.NAMES:
            print(f"{name:<9} {suites.suite(name).TITLE}: {', '.join(suites.suite(name).MODELS)}")
        return
    _print(reports, found)
    if json is not None:
        found.write(json)
    if picture is not None:
        reports.picture(found, picture)
    if stored is not None and (lost := reports.lost(stored, found)):
        for before, after in lost:
            place = f"{after.model}, {after.setting}, beside {after.peer}"
            print(f"wasmgrad: {place}: {after.median:.2f}, stored {before.median:.2f}", file=sys.stderr)
        raise typer.Exit(1)


def _part(name: str) -> Any:
    """A module of `benchmarks/`."""
    tree = Path.cwd()
    if not (tree / "benchmarks/suites.py").is_file():
        raise NotFound(
            "bench: the suites are in the source tree: run it at the top of a checkout of wasmgrad"
        )
    if str(tree) not in sys.path:
        sys.path.insert(0, str(tree))
    try:
        return importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as missing:
        advice = "pip install 'wasmgrad[bench]'"
        raise Unsupported(f"bench: the module {missing.name} is missing: {advice}") from None


def _measured(suite: str, models: list[str], rounds: int | None) -> Any:
    suites = _part("suites")
    if suite not in suites.NAMES:
        raise InvalidArgument(f"bench: there is no suite '{suite}'; there are {', '.join(suites.NAMES)}")
    known = list(suites.suite(suite).MODELS)
    for name in models:
        if name not in known:
            raise InvalidArgument(f"bench: {suite} has no model '{name}'; it has {', '.join(known)}")
    try:
        return suites.run(suite, models, rounds)
    except RuntimeError as error:  # a contestant has died, whose own words stand above
        raise RuntimeFailure(f"bench: {error}") from error


def _read(reports: Any, file: Path) -> Any:
    try:
        return reports.read(file)
    except OSError as error:
        raise NotFound(f"bench: {file}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgument(f"bench: {file} is not a report of wasmgrad bench: {error}") from error


def _print(reports: Any, found: Any) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(reports.table(found))
    console.print(", ".join([found.machine, *found.versions]), style="dim")
