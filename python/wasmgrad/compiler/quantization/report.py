"""What quantizing a model did: how far its outputs and layers are from float32, and which layers were kept, and why."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..._files import write_atomic
from .._options import Quantize

__all__ = ["LayerReport", "OutputReport", "QuantizationReport"]

_WORST = 10  # layers that the table shows


@dataclass(frozen=True)
class OutputReport:
    """One output on all samples: its name, signal-to-noise ratio in decibels, and cosine.

    `agreement`: of scores [N, classes] the share of rows whose first class is the same; None for other outputs.
    """

    name: str
    snr: float
    cosine: float
    agreement: float | None


@dataclass(frozen=True)
class LayerReport:
    """One layer: its node's name and operator, and its signal-to-noise ratio in decibels.

    `snr`: of what it makes, all layers before it being quantized, too; None where that is no part of both models.
    `alone_snr`: of the model's outputs, if this layer were the only one that is quantized; None unless `min_snr` asks
    for it. `kept`: why it is not quantized, None when it is.
    """

    name: str
    operator: str
    snr: float | None
    alone_snr: float | None
    kept: str | None


@dataclass(frozen=True)
class QuantizationReport:
    """`samples` is the number of inputs that it is measured on; `random`: of random numbers, as none were given."""

    quantize: Quantize
    samples: int
    random: bool
    outputs: tuple[OutputReport, ...]
    layers: tuple[LayerReport, ...]

    @property
    def kept(self) -> tuple[LayerReport, ...]:
        """The layers that are not quantized."""
        return tuple(layer for layer in self.layers if layer.kept is not None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as JSON. Errors: `RuntimeFailure` with the system's reason."""
        write_atomic(Path(path), json.dumps(self.as_dict(), indent=1).encode() + b"\n")

    def table(self) -> str:
        """For people: the outputs, the layers that are furthest off, and the layers kept by reason."""
        done = len(self.layers) - len(self.kept)
        inputs = f"{self.samples} random inputs (give your own)" if self.random else f"{self.samples} inputs"
        lines = [f"{self.quantize}: {done} of {len(self.layers)} layers; against float32 on {inputs}:"]
        lines += [f"{'same first class':>16}  {'cosine':>8}  {'SNR dB':>7}  output"]
        for output in self.outputs:
            same = "" if output.agreement is None else f"{100 * output.agreement:.1f} %"
            lines.append(f"{same:>16}  {output.cosine:>8.5f}  {output.snr:>7.1f}  {output.name}")
        lines += self._worst()
        for reason, layers in self._by_reason().items():
            lines.append(f"in float32, {reason}: {_listed(layers)}")
        return "\n".join(lines) + "\n"

    def _worst(self) -> list[str]:
        known = [layer for layer in self.layers if layer.kept is None and layer.snr is not None]
        worst = sorted(known, key=lambda layer: layer.snr or 0.0)[:_WORST]
        if not worst:
            return []
        with_alone = any(layer.alone_snr is not None for layer in worst)
        lines = [
            f"{'alone dB' if with_alone else '':>16}  {'':>8}  {'SNR dB':>7}  layers that are furthest off"
        ]
        for layer in worst:
            alone = "" if layer.alone_snr is None else f"{layer.alone_snr:.1f}"
            lines.append(f"{alone:>16}  {'':>8}  {layer.snr:>7.1f}  {layer.name} ({layer.operator})")
        return lines

    def _by_reason(self) -> dict[str, list[LayerReport]]:
        reasons: dict[str, list[LayerReport]] = defaultdict(list)
        for layer in self.kept:
            reasons[layer.kept or ""].append(layer)
        return reasons


def _listed(layers: list[LayerReport]) -> str:
    """By operator: one layer by its name, several by their number."""
    by_operator: dict[str, list[str]] = defaultdict(list)
    for layer in layers:
        by_operator[layer.operator].append(layer.name)
    return ", ".join(
        f"{names[0]} ({operator})" if len(names) == 1 else f"{len(names)} {operator}"
        for operator, names in by_operator.items()
    )
