"""Graph modules in Node, a child process that runs `guests/web/host/graph_host.mjs`. Tensors go through its pipes."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._errors import NotFound, RuntimeFailure, error_of_kind
from ..._files import find_part
from ..format.file import GraphFile
from ..format.metadata import TensorInfo
from .engine import packed

__all__ = ["NodeEngine"]

_WEIGHTS, _MODULE, _INPUT, _RUN, _CALL, _OUTPUT, _STATE, _NEW_STATE, _SELECT = 1, 2, 3, 4, 5, 6, 7, 8, 9
_BY_PATH = 1
_REQUEST, _REPLY, _SECONDS = struct.Struct("<III"), struct.Struct("<II"), struct.Struct("<d")
_BATCH = struct.Struct("<I")


class NodeEngine:
    """See `Engine`. `guests/web/host/graph.js` checks the addresses; times are Node's own, without the pipes."""

    def __init__(self, graph: GraphFile, threads: int) -> None:
        self._name = graph.module.name
        self._plans = graph.metadata.plans
        self._outputs = self._plans[0].outputs
        self._states = graph.metadata.states
        program = shutil.which("node")
        if program is None:
            raise NotFound("the engine node is not installed; install Node.js 20 or newer")
        script = find_part("guests/web/host/graph_host.mjs", "guests/web/host/graph_host.mjs")
        parts = [(_WEIGHTS, graph.weights), (_MODULE, graph.module)]
        sources = [(operation, blob.source()) for operation, blob in parts if blob is not None]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the child
        self._child = subprocess.Popen(
            [program, str(script), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            pass_fds=[source for _, source in sources if isinstance(source, int)],
        )
        self._finalizer = weakref.finalize(self, _end, self._child)
        for operation, source in sources:
            if isinstance(source, int):  # the very file that has been checked, whatever its name is now
                self._ask(operation, _BY_PATH, f"/proc/self/fd/{source}".encode())
            else:
                self._ask(operation, payload=source)

    def select(self, number: int, batch: int) -> None:
        """See `Engine`."""
        self._ask(_SELECT, number, _BATCH.pack(batch))
        self._outputs = self._plans[number].of_batch(batch).outputs

    def write_input(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        self._ask(_INPUT, index, packed(array))

    def run(self) -> float:
        """See `Engine`."""
        return float(_SECONDS.unpack(self._ask(_RUN))[0])

    def call(self, index: int) -> float:
        """See `Engine`."""
        return float(_SECONDS.unpack(self._ask(_CALL, index))[0])

    def read_output(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        return self._read(_OUTPUT, index, self._outputs[index])

    def write_state(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        self._ask(_NEW_STATE, index, packed(array))

    def read_state(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        return self._read(_STATE, index, self._states[index])

    def close(self) -> None:
        """See `Engine`."""
        self._finalizer()
        self._log.close()

    def _read(self, operation: int, index: int, info: TensorInfo) -> NDArray[Any]:
        values: NDArray[Any] = np.frombuffer(self._ask(operation, index), info.numpy_dtype)
        return values.reshape(info.shape)

    def _ask(self, operation: int, index: int = 0, payload: bytes | memoryview = b"") -> bytearray:
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            self._child.stdin.write(_REQUEST.pack(operation, index, len(payload)))
            self._child.stdin.write(payload)
            self._child.stdin.flush()
            status, size = _REPLY.unpack(self._receive(_REPLY.size))
            answer = self._receive(size)
        except (BrokenPipeError, EOFError) as error:
            code = self._child.wait()
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            said = next((line for line in reversed(lines) if "rror" in line), "it said nothing")
            raise RuntimeFailure(f"{self._name}: node ended with exit code {code}: {said}") from error
        if status != 0:
            kind, _, message = answer.decode(errors="replace").partition("\n")
            raise error_of_kind(kind, f"{self._name}: {message}")
        return answer

    def _receive(self, size: int) -> bytearray:
        assert self._child.stdout is not None
        answer = bytearray(size)
        view = memoryview(answer)
        while len(view) > 0:
            count = self._child.stdout.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            view = view[count:]
        return answer


def _end(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    child.kill()
    child.wait()
