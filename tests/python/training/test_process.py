"""The child process: what it says is passed on, and an interrupt reaches it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad._training.config import configure
from wasmgrad._training.process import forwarding_interrupts, run_isolated


def test_refused_configuration_is_an_invalid_argument(regression_guest: Path) -> None:
    config = configure(regression_guest) | {"unheard": 1}
    with pytest.raises(wasmgrad.InvalidArgument, match="unheard"):
        run_isolated(config, lambda event: None)


def test_interrupt_calls_the_stop_function_and_raises_nothing() -> None:
    calls: list[int] = []
    with forwarding_interrupts(lambda: calls.append(1)):
        signal.raise_signal(signal.SIGINT)
    assert calls == [1]


def test_signal_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with forwarding_interrupts(lambda: None):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_leave_signals_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with forwarding_interrupts(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_what_on_event_raises_ends_the_run_and_is_raised(regression_guest: Path, linear_model: Path) -> None:
    class EnoughError(Exception):
        pass

    def refuse(event: wasmgrad.Event) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        wasmgrad.train(regression_guest, models={"linear.pt": linear_model}, epochs=10_000, on_event=refuse)
