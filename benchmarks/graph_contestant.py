"""One way of running a model, as a long-lived process that runs it when told to.

    python -m benchmarks.graph_contestant onnxruntime MODEL.onnx INPUTS
    python -m benchmarks.graph_contestant wasmtime|wasmedge|native MODULE INPUTS

INPUTS: a JSON list of {name, dtype, shape}. It prints `{"load": seconds}` when the model is ready, then reads a
request a line from standard input and answers each with a line of JSON:

    run N      N runs, inputs and outputs copied: the median of their times in seconds
    calls N    the plan N times, call by call: a list of N lists of times in seconds

The time of a run is the lesser of the time that passes and the processor time of the process: on a busy machine
the first would count the neighbours, and the second counts threads that work beside, such as a garbage collector's.

The coordinator (benchmarks.engines) starts several and gives them turns, so that all see the same machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Runnable:
    """A loaded model: how long loading took, how to run it once, and how to time each call of its plan."""

    load: float
    run: Callable[[], object]
    calls: Callable[[], list[float]] | None = None


def _random(inputs: list[dict[str, Any]]) -> Inputs:
    random = np.random.default_rng(0)
    return {
        info["name"]: random.integers(0, 100, info["shape"])
        if info["dtype"] == "int64"
        else random.uniform(-1, 1, info["shape"]).astype(info["dtype"])
        for info in inputs
    }


def _onnxruntime(file: str, inputs: Inputs) -> Runnable:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    begin = time.perf_counter()
    session = onnxruntime.InferenceSession(file, options)
    return Runnable(time.perf_counter() - begin, lambda: session.run(None, inputs))


def _wasmgrad(engine: str, file: str, inputs: Inputs) -> Runnable:
    import wasmgrad

    begin = time.perf_counter()
    module = wasmgrad.load(file, engine=engine)
    load = time.perf_counter() - begin
    module.feed(**inputs)  # so that the plan has them even before the first run
    return Runnable(load, lambda: module(**inputs), module.profile_run)


def _seconds(action: Callable[[], object]) -> float:
    used, begin = time.process_time(), time.perf_counter()
    action()
    return min(time.perf_counter() - begin, time.process_time() - used)


def main() -> None:
    way, file, inputs = sys.argv[1], sys.argv[2], _random(json.loads(sys.argv[3]))
    runnable = _onnxruntime(file, inputs) if way == "onnxruntime" else _wasmgrad(way, file, inputs)
    print(json.dumps({"load": runnable.load}), flush=True)
    for line in sys.stdin:
        request, count = line.split()
        times = int(count)
        if request == "run":
            print(statistics.median(_seconds(runnable.run) for _ in range(times)), flush=True)
        else:
            assert runnable.calls is not None
            print(json.dumps([runnable.calls() for _ in range(times)]), flush=True)


if __name__ == "__main__":
    main()
