"""The graph modules of the tests in `graph`, for the commands that run and inspect them."""

from __future__ import annotations

from ..graph.conftest import arrays, bare_module, colors, make_module, metadata, module

__all__ = ["arrays", "bare_module", "colors", "make_module", "metadata", "module"]
