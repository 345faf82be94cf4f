"""The errors of the package: one tree, one class for each kind of failure.

The kinds are those of the native core; the same names stand in JSON events. Nothing here knows where an error
comes from.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "Error",
    "GuestExit",
    "Interrupted",
    "InvalidArgument",
    "InvalidEncoding",
    "ModelWarning",
    "NotFound",
    "PeerLost",
    "RuntimeFailure",
    "SecurityError",
    "TimeLimit",
    "TooLarge",
    "Unknown",
    "Unsupported",
    "error_of_kind",
]


class ModelWarning(UserWarning):
    """A model will not do what its owner may expect, such as one whose mode is fixed."""


class Error(Exception):
    """Whatever can go wrong: `message` is one sentence for a person, `kind` a stable name for a program."""

    kind: ClassVar[str] = "unknown"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(Error, ValueError):
    """An argument is out of range or contradicts another one."""

    kind = "invalid_argument"


class InvalidEncoding(Error, ValueError):
    """Bytes are not in the format they should be in (a wasm module, a model, a checkpoint, an IDX file)."""

    kind = "invalid_encoding"


class TimeLimit(Error, TimeoutError):
    """The time limit of a run was reached."""

    kind = "timeout"


class RuntimeFailure(Error, RuntimeError):
    """The operation itself failed: input and output, numerics, or a trap in the guest."""

    kind = "runtime_error"


class Unsupported(Error, NotImplementedError):
    """Well formed, but this build cannot do it."""

    kind = "unsupported_operation"


class TooLarge(Error, MemoryError):
    """A limit was exceeded."""

    kind = "too_large"


class NotFound(Error, FileNotFoundError):
    """A named thing does not exist."""

    kind = "not_found"


class SecurityError(Error, PermissionError):
    """Refused because it would leave the sandbox, or because a model holds what no model needs."""

    kind = "security"


class Unknown(Error):
    """A failure without a better name."""

    kind = "unknown"


class Interrupted(Error):
    """The owner asked to stop before there was a result."""

    kind = "interrupted"


class PeerLost(Error, ConnectionError):
    """Another process of a distributed training was lost, or did not answer in time."""

    kind = "peer_lost"


class GuestExit(Error):
    """The guest ended with a non-zero `exit_code`; its console output is in `stdout` and `stderr`."""

    kind = "guest_exit"

    def __init__(self, message: str, exit_code: int = 1, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


_BY_KIND: dict[str, type[Error]] = {
    cls.kind: cls
    for cls in (
        InvalidArgument,
        InvalidEncoding,
        TimeLimit,
        RuntimeFailure,
        Unsupported,
        TooLarge,
        NotFound,
        SecurityError,
        Unknown,
        Interrupted,
        PeerLost,
    )
}


def error_of_kind(kind: str, message: str) -> Error:
    """The error of the core's `kind`, to be raised. A kind that is not known becomes `Unknown`."""
    return _BY_KIND.get(kind, Unknown)(message)
