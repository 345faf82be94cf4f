"""A module for several threads in a browser: on all of them where the page is cross-origin isolated, else on one."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from wasmgrad import load
from wasmgrad._files import find_part

from ..graph.browser import Browser, browser
from .test_threads import compiled

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
RUNS = 50
SCRIPT = """async (threads, runs, feeds) => {
  const { loadGraph } = await import("/host/graph.js");
  const graph = await loadGraph("/model.wasm", { threads });
  const inputs = Object.fromEntries(Object.entries(feeds).map(([name, values]) => [name, Float32Array.from(values)]));
  const said = new Set();
  const bits = (array) => [...new Uint32Array(array.buffer)];
  for (let i = 0; i < runs; i++) said.add(Object.values(graph.run(inputs)).map(bits).join());
  graph.close();
  return [graph.threads, [...said]];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser on a machine that has one; in continuous integration there must be one."""
    if shutil.which("chromedriver") is None and not os.environ.get("CI"):
        pytest.skip("no chromedriver: install chromium-driver to test the page")
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is served: the library, a module for several threads, and an empty page."""
    host = find_part("guests/web/host/graph.js", "guests/web/host/graph.js").parent
    shutil.copytree(host, tmp_path / "host")
    (tmp_path / "model.wasm").write_bytes(compiled("attention", 0, "wasm32", "128", 5)[0])
    (tmp_path / "index.html").write_text("<!doctype html><title>empty</title>")
    return tmp_path


@pytest.mark.parametrize(("isolated", "wanted", "got"), [(True, 3, 3), (True, 1, 1), (False, 3, 1)])
def test_a_page_runs_on_as_many_threads_as_it_may(
    page: Browser, folder: Path, isolated: bool, wanted: int, got: int
) -> None:
    module, feeds = compiled("attention", 0, "wasm32", "128", 5)
    with closing(load(module, threads=1)) as graph:
        y = graph(**feeds)
    assert isinstance(y, np.ndarray)
    bits = ",".join(map(str, y.view(np.uint32).reshape(-1).tolist()))

    class Server(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in ISOLATION.items() if isolated else ():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Server, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            page.open(f"http://127.0.0.1:{server.server_port}/index.html")
            values = {name: array.reshape(-1).tolist() for name, array in feeds.items()}
            threads, said = page.evaluate(SCRIPT, wanted, RUNS, values)
        finally:
            server.shutdown()
            thread.join()
    assert threads == got
    assert said == [bits]
