"""What a suite of benchmarks found, as ratios: its file, its table and picture, and what has become slower.

Figures of one machine say little about another, and times less than ratios of times that were taken in turns. So a
report holds such ratios and names the machine, and two reports are compared by them alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table

TOLERANCE = 0.1
"""How much of a ratio may be lost, compared with a stored report: what a noisy machine takes."""


@dataclass(frozen=True)
class Ratio:
    """How many times as long a peer takes as wasmgrad, on one model in one setting."""

    model: str
    setting: str
    """Where, with how many threads, in which precision."""
    peer: str
    median: float
    low: float
    """The first quartile; `high` is the third."""
    high: float
    milliseconds: float
    """Of wasmgrad, the median."""
    details: dict[str, float] = field(default_factory=dict)
    """What else was measured of wasmgrad in the same turns."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is the ratio of."""
        return self.model, self.setting, self.peer


@dataclass(frozen=True)
class Report:
    """The ratios of a suite, and what they were taken with."""

    suite: str
    title: str
    """What was measured, in a line."""
    command: str
    """What measures it again."""
    machine: str
    versions: list[str]
    """Of engines and peers."""
    ratios: list[Ratio]

    def write(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n")


def read(file: Path) -> Report:
    """A report that `Report.write` wrote."""
    fields = json.loads(file.read_text())
    return Report(**{**fields, "ratios": [Ratio(**ratio) for ratio in fields["ratios"]]})


def ratio(
    model: str,
    setting: str,
    peer: tuple[str, Sequence[float]],
    ours: Sequence[float],
    details: dict[str, float] | None = None,
) -> Ratio:
    """The quartiles of the ratios of seconds that were taken in the same turns."""
    each = [their / our for their, our in zip(peer[1], ours, strict=True)]
    low, median, high = statistics.quantiles(each, n=4)
    return Ratio(model, setting, peer[0], median, low, high, statistics.median(ours) * 1e3, details or {})


def machine() -> str:
    """The processor's name and how many of its cores may be used."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        if found := re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()):
            name = found.group(1)
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def lost(stored: Report, found: Report) -> list[tuple[Ratio, Ratio]]:
    """What a new report has less than `TOLERANCE` below the stored one allows: the stored ratio and the new one.

    What only one of them has is not compared.
    """
    new = {each.key: each for each in found.ratios}
    pairs = [(each, new[each.key]) for each in stored.ratios if each.key in new]
    return [(before, after) for before, after in pairs if after.median < (1 - TOLERANCE) * before.median]


def table(report: Report) -> Table:
    """A row for each model and setting, a column for each peer."""
    peers = list(dict.fromkeys(each.peer for each in report.ratios))
    details = list(dict.fromkeys(name for each in report.ratios for name in each.details))
    result = Table(title=report.title)
    for column in ("model", "setting"):
        result.add_column(column)
    for column in ("wasmgrad", *peers, *details):
        result.add_column(column, justify="right")
    for model, setting in dict.fromkeys((each.model, each.setting) for each in report.ratios):
        row = {each.peer: each for each in report.ratios if (each.model, each.setting) == (model, setting)}
        any_ = next(iter(row.values()))
        cells = [_cell(row[peer]) if peer in row else "" for peer in peers]
        more = [f"{any_.details[name]:.3g}" if name in any_.details else "" for name in details]
        result.add_row(model, setting, f"{any_.milliseconds:.3g} ms", *cells, *more)
    return result


def _cell(each: Ratio) -> str:
    return f"{each.median:.2f}x ({each.low:.2f}-{each.high:.2f})"


def picture(report: Report, file: Path) -> None:
    """Draws the medians as bars with their quartiles, those of a model and setting side by side, as SVG or PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = report.suite  # the same report gives the same file
    from matplotlib import pyplot

    peers = list(dict.fromkeys(each.peer for each in report.ratios))
    groups = list(dict.fromkeys((each.model, each.setting) for each in report.ratios))
    thickness = 0.8 / len(peers)
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.22 * len(groups) * max(2, len(peers))))
    for number, peer in enumerate(peers):
        bars = [each for each in report.ratios if each.peer == peer]
        places = [groups.index((each.model, each.setting)) + number * thickness for each in bars]
        spread = [
            [each.median - each.low for each in bars],
            [each.high - each.median for each in bars],
        ]
        widths = [each.median for each in bars]
        axes.barh(places, widths, thickness * 0.9, xerr=spread, label=peer, error_kw={"elinewidth": 0.8})
        for place, each in zip(places, bars, strict=True):
            axes.text(each.high + 0.03, place, f"{each.median:.2f}", va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    middles = [place + thickness * (len(peers) - 1) / 2 for place in range(len(groups))]
    axes.set_yticks(middles, [f"{model}\n{setting}" for model, setting in groups], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"time by wasmgrad's\n{report.machine}", fontsize=8)
    axes.set_title(report.title, fontsize=9, pad=26)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(peers))
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else {})
    pyplot.close(figure)
