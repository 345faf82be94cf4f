"""Small models of every usual kind, for `tools/model_table.py`: of torchvision, timm, transformers, and plain torch.

The extra `samples` of pyproject.toml has the packages; each is imported when one of its models is made.
"""

from __future__ import annotations

from . import of_timm, of_torchvision, of_transformers, own, own_sequences
from .case import Case, seeded

__all__ = ["CASES", "Case", "seeded"]

CASES: list[Case] = [
    *of_torchvision.CASES,
    *of_timm.CASES,
    *of_transformers.CASES,
    *own.CASES,
    *own_sequences.CASES,
]
