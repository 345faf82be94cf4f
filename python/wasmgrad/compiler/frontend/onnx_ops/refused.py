"""Operators that no compiled module can have, each with the reason."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

from ._registry import Node, converter

_DYNAMIC = ("NonMaxSuppression", "NonZero", "Unique")
_RANDOM = (
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
)


def _refuse(node: Node, why: str) -> NoReturn:
    node.refuse(why)


for _op in _DYNAMIC:
    converter(_op)(partial(_refuse, why="the shape of its output depends on data"))
for _op in _RANDOM:
    converter(_op, fold=False)(
        partial(_refuse, why="it draws random numbers, which a compiled module does not do")
    )
