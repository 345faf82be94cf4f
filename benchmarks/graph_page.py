"""One way of running a model in a page of headless Chromium, as a long-lived process that runs it when told to.

    python -m benchmarks.graph_page wasmgrad|onnxruntime-web|LiteRT.js MODEL INPUTS NODE_MODULES

The protocol is that of graph_contestant.py, of which it knows `run`. The page is served on loopback, isolated from
other origins, so that its clock is exact to 5 microseconds. The time of a run is the lesser of what passes in the
page and the processor time of its thread.

V8 optimises all functions at once. Left to do it one after another, while they run, it settles in some processes on
code of LiteRT.js that takes nearly twice as long, and which ones cannot be foreseen.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_SWITCHES = (
    "--headless",
    "--no-sandbox",  # else it does not run as root; the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--js-flags=--no-wasm-dynamic-tiering",
)
_PATIENCE = 300.0  # seconds until an answer


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the tree's own pages, the peers and the model; a post is the page's answer and takes the next request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, page: Page, model: Path, peers: Path) -> None:
        self._page, self._model, self._peers = page, model, peers
        super().__init__(*arguments)

    def translate_path(self, path: str) -> str:
        if path == "/model":
            return str(self._model)
        self.directory = str(self._peers if path.startswith("/peers/") else _ROOT)
        return super().translate_path(path.removeprefix("/peers"))

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_POST(self) -> None:
        self._page.answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        request = self._page.requests.get().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(request)))
        self.end_headers()
        self.wfile.write(request)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing."""


class Page:
    """A page of a browser with `profile` as its directory, and what goes to it and comes from it."""

    def __init__(self, profile: str) -> None:
        self.requests: queue.Queue[str] = queue.Queue()
        self.answers: queue.Queue[Any] = queue.Queue()
        self._profile = profile

    def answer(self) -> Any:
        """What it posts next. Errors: SystemExit when it fails, queue.Empty when it takes too long."""
        answer = self.answers.get(timeout=_PATIENCE)
        if isinstance(answer, dict) and "error" in answer:
            sys.exit(answer["error"])
        return answer

    def run(self, request: str) -> float:
        """Seconds of one of the runs that are requested."""
        before = self._processor_time()
        self.requests.put(request)
        passed: float = self.answer()
        used = self._processor_time() - before
        return min(passed, used / int(request.split()[1]))

    def _processor_time(self) -> float:
        """Seconds that the main threads of the browser's renderers have run; pages that do nothing add nothing."""
        nanoseconds = 0
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it may have ended
                command = (process / "cmdline").read_text()
                if "--type=renderer" in command and self._profile in command:
                    nanoseconds += int((process / "schedstat").read_text().split()[0])
        return nanoseconds * 1e-9


@contextlib.contextmanager
def _opened(runtime: str, model: Path, inputs: str, peers: Path) -> Iterator[Page]:
    """A page that loads the model, in a browser and with a server of its own."""
    with contextlib.ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        page = Page(profile)
        handler = functools.partial(_Handler, page=page, model=model, peers=peers)
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        query = urllib.parse.urlencode({"runtime": runtime, "inputs": inputs})
        url = f"http://127.0.0.1:{server.server_port}/benchmarks/graph_page.html?{query}"
        command = [program(), *_SWITCHES, f"--user-data-dir={profile}", url]
        browser = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        stack.callback(browser.terminate)
        yield page


def program() -> str:
    """The browser. Errors: FileNotFoundError."""
    for name in ("chromium", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "there is neither chromium nor google-chrome, which runs the pages of the benchmarks"
    )


def main() -> None:
    runtime, model, inputs, peers = sys.argv[1:]
    with _opened(runtime, Path(model), inputs, Path(peers)) as page:
        print(json.dumps(page.answer()), flush=True)
        for request in sys.stdin:
            print(page.run(request), flush=True)


if __name__ == "__main__":
    main()
