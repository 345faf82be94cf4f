"""An isolated run: the native supervisor as a child process, its configuration in, its events out.

Limits, supervision and the guest itself live in the child; this module forwards an interrupt and reads lines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import IO

from .._errors import InvalidArgument, RuntimeFailure
from .._files import find_part
from .result import Event

__all__ = ["forwarding_interrupts", "run_isolated", "run_to_terminal", "supervisor_command"]

_USAGE = 2  # exit code of the native tools for a configuration that they refuse


def supervisor_command() -> list[str]:
    """The supervisor and the arguments that make it read a configuration from its standard input.

    It and its worker are killed when this process ends, in whatever way.
    """
    return [str(find_part("bin/wasmgrad-train")), "--parent", str(os.getpid()), "--config", "-"]


def _environment() -> dict[str, str]:
    # libtorch's OpenMP runtime spins between parallel regions unless told not to before it loads.
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}


def stop_signals(config: Mapping[str, object]) -> tuple[signal.Signals, ...]:
    """What asks a run to end cleanly: Ctrl-C, and the signal by which torchrun ends its processes."""
    return (signal.SIGINT, signal.SIGTERM) if "distributed" in config else (signal.SIGINT,)


@contextmanager
def forwarding_interrupts(
    stop: Callable[[], None], signals: tuple[signal.Signals, ...] = (signal.SIGINT,)
) -> Iterator[None]:
    """While it lasts, Ctrl-C, or each of `signals`, calls `stop` and raises nothing.

    Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        stop()

    previous = {each: signal.signal(each, handle) for each in signals}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def run_isolated(config: Mapping[str, object], on_event: Callable[[Event], None]) -> int:
    """Runs `config` in a child process and returns the supervisor's exit code.

    `on_event` is called for each event, in order.
    Ctrl-C asks the run to end cleanly; what `on_event` raises ends the run at once and is raised here.
    Errors: `NotFound` without the native tool, `RuntimeFailure` when it ends without having said how.
    """
    with subprocess.Popen(
        supervisor_command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        process_group=0,  # the terminal's Ctrl-C reaches this process only, which forwards it once
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ended = False
        diagnostics: list[bytes] = []
        drain = threading.Thread(target=lambda: diagnostics.append(process.stderr.read()), daemon=True)  # type: ignore[union-attr]
        drain.start()
        try:
            with forwarding_interrupts(lambda: process.send_signal(signal.SIGINT), stop_signals(config)):
                _send(config, process.stdin)
                for line in process.stdout:
                    event = json.loads(line)
                    ended = ended or event.get("event") in ("end", "error")
                    on_event(event)
                code = process.wait()
        except BaseException:
            process.kill()
            raise
        drain.join()
    if not ended:
        said = b"".join(diagnostics).decode(errors="replace").strip().splitlines()
        reason = said[0].removeprefix("wasmgrad-train: ") if said else f"exit status {code}"
        if code == _USAGE:
            raise InvalidArgument(reason)
        raise RuntimeFailure(f"wasmgrad-train ended without a result: {reason}")
    return code


def run_to_terminal(config: Mapping[str, object]) -> int:
    """Runs `config` with its own view on this process's standard output and returns its exit code."""
    process = subprocess.Popen(
        supervisor_command(), stdin=subprocess.PIPE, env=_environment(), process_group=0
    )
    assert process.stdin is not None
    with forwarding_interrupts(lambda: process.send_signal(signal.SIGINT), stop_signals(config)):
        _send(config, process.stdin)
        return process.wait()


def _send(config: Mapping[str, object], stdin: IO[bytes]) -> None:
    try:
        stdin.write(json.dumps(config).encode())
        stdin.close()
    except BrokenPipeError:
        pass  # it ended before reading; what it said follows
