"""The native reader of graph modules. Use it through the package."""

from typing import Any


def read_module(module: int | memoryview) -> dict[str, Any]:
    """
    Its `metadata`, the `pages` of its memory, its `code` without large data, and `segments` of that: address, offset and size.

    An int is the descriptor of an open file.
    """

def read_metadata(json: bytes) -> dict[str, Any]: ...

def read_preprocess(json: bytes) -> dict[str, Any]: ...
