"""Train one model over the data of several owners who do not trust each other's code.

`run_task` runs a guest on one node under its owner's `Policy`, whatever brings the task. `client_app` and `server_app`
bring it by Flower, which needs the extra `flower`: `pip install 'wasmgrad[flower]'`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._policy import Policy, Privacy
from ._task import Task, TaskResult, run_task

if TYPE_CHECKING:
    from ._client import client_app
    from ._server import Federation, federation_of, run_rounds, server_app

__all__ = [
    "Federation",
    "Policy",
    "Privacy",
    "Task",
    "TaskResult",
    "client_app",
    "federation_of",
    "run_rounds",
    "run_task",
    "server_app",
]

_LAZY = {
    "Federation": "_server",
    "client_app": "_client",
    "federation_of": "_server",
    "run_rounds": "_server",
    "server_app": "_server",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
