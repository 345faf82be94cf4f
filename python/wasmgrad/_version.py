"""The version of the package: one constant, which a test compares with pyproject.toml and CMake."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
