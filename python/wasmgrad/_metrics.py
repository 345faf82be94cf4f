"""Means over a batch or a pass, of whatever trained or evaluated it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Metrics"]


@dataclass(frozen=True)
class Metrics:
    """Means over one pass. Accuracies are fractions in 0..1, or None where the loss has none."""

    loss: float
    accuracy: float | None = None
    top_k_accuracy: float | None = None
    samples: int = 0

    @classmethod
    def from_event(cls, fields: Mapping[str, Any]) -> Metrics:
        """From the fields of an event; a loss that JSON could not write (not finite) becomes NaN."""
        loss = fields.get("loss")
        return cls(
            loss=float("nan") if loss is None else float(loss),
            accuracy=fields.get("accuracy"),
            top_k_accuracy=fields.get("top_k_accuracy"),
            samples=int(fields.get("samples") or 0),
        )
