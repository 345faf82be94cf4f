"""How a training works together with those in other processes, which torchrun starts."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._errors import InvalidArgument

__all__ = ["Distributed", "distributed_config", "is_first"]


@dataclass(frozen=True, kw_only=True)
class Distributed:
    """What the processes of one training do together. Which they are says the environment, as torchrun sets it."""

    shard: bool = False
    """The data of each process is its own. Else all have the same, and each takes its part of every batch."""
    sync_every: int = 1
    """Steps of each process's own between two averages of the parameters; 1: gradients are averaged at each step."""
    gradients: str = "f32"
    """How gradients travel, f32 or bf16; the second takes half the bytes and rounds them to eight significant bits."""
    peer_timeout: float = 60.0
    """Seconds after which a process that does not answer is lost, which ends the others."""

    def to_config(self) -> dict[str, object]:
        """The `distributed` object of a run configuration, which the core judges."""
        return {
            "shard": bool(self.shard),
            "sync_every": self.sync_every,
            "gradients": self.gradients,
            "timeout_seconds": float(self.peer_timeout),
        }


def distributed_config(distributed: Distributed | bool | None) -> dict[str, object] | None:
    """None for a run that is alone. Errors: `InvalidArgument` for what is neither."""
    if distributed is None or distributed is False:
        return None
    if distributed is True:
        distributed = Distributed()
    if not isinstance(distributed, Distributed):
        raise InvalidArgument(f"distributed is {distributed!r:.80}; expected True or a Distributed")
    return distributed.to_config()


def is_first() -> bool:
    """Whether this process is the first of its training, which writes the results, or the only one."""
    return os.environ.get("RANK", "0") == "0"
