"""A node of Flower's on which nothing runs but guests: whatever app a server sends, the ClientApp is ours.

Flower's SuperNode starts the program `flwr-clientapp` for each message, which unpacks the app that came with the run
and imports its Python. Here another program of that name stands first on the path: it answers the message by
`client_app` under the owner's policy, and unpacks, installs and imports nothing of the app.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .._errors import InvalidArgument, NotFound, Unsupported
from .._files import scratch_directory
from .._training.process import forwarding_interrupts
from ._client import POLICY_VARIABLE, client_app
from ._policy import Policy

__all__ = ["flower_program", "quiet_environment", "run_node"]


def flower_program(name: str) -> str:
    """The path of a program of Flower's, beside this Python or on PATH. Errors: `NotFound`."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise NotFound(f"the program {name} is not installed; `pip install 'wasmgrad[flower]'` brings it")
    return found


def quiet_environment() -> dict[str, str]:
    """This environment, in which Flower calls nobody unless it was told to."""
    return {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", **os.environ}


def run_node(policy: Path, arguments: Sequence[str]) -> int:
    """Runs `flower-supernode` with these arguments until it ends, and returns its exit code.

    Errors: those of `Policy.load`; `InvalidArgument` for an argument that would let another program run apps.
    """
    Policy.load(policy)  # what is wrong with it is said now, not at the first message
    for argument in arguments:
        if argument.startswith(("--isolation", "--allow-runtime-dependency-installation")):
            raise InvalidArgument(f"{argument}: a node under a policy starts its own program for messages")
    program = flower_program("flower-supernode")
    with scratch_directory() as folder:
        ours = folder / "flwr-clientapp"
        ours.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {__name__} "$@"\n')
        ours.chmod(0o700)
        environment = {**quiet_environment(), POLICY_VARIABLE: str(policy.resolve())}
        environment["PATH"] = f"{folder}{os.pathsep}{environment.get('PATH', os.defpath)}"
        node = subprocess.Popen([program, *arguments], env=environment, process_group=0)
        with forwarding_interrupts(lambda: node.send_signal(signal.SIGINT), (signal.SIGINT, signal.SIGTERM)):
            code = node.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGTERM)  # what it started would outlive it
        return code


def _answer_one_message() -> NoReturn:
    from flwr.supernode.cli import flwr_clientapp
    from flwr.supernode.runtime import run_clientapp as runtime

    def load(**_: Any) -> Any:
        return lambda *_: client_app()

    def nothing(*_: Any, **__: Any) -> None:
        return None

    ours = {"get_load_client_app_fn": load, "install_from_fab": nothing, "install_app_dependencies": nothing}
    for name, function in ours.items():
        if not hasattr(runtime, name):
            raise Unsupported(
                f"this version of Flower starts apps in another way ({name}); expected flwr 1.42"
            )
        setattr(runtime, name, function)
    sys.argv[0] = "flwr-clientapp"
    flwr_clientapp()
    sys.exit(0)


if __name__ == "__main__":
    _answer_one_message()
