"""`guests/web/host/graph.js` in Node, and the page beside it in a browser."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from wasmgrad._files import find_part
from wasmgrad._graph.format import wasm

from .browser import Browser, browser
from .conftest import COLORS, WEIGHTS, MakeModule

pytestmark = pytest.mark.node

LIBRARY = find_part("guests/web/host/graph.js", "guests/web/host/graph.js")


def node(script: str, folder: Path) -> Any:
    """What an ES module prints as JSON, run in `folder` with `loadGraph` at hand."""
    program = f"""
      import {{ loadGraph }} from {json.dumps(LIBRARY.as_uri())};
      const kindOf = async (action) => {{
        try {{ await action(); return "no error"; }} catch (error) {{ return `${{error.kind}}: ${{error.message}}`; }}
      }};
      {script}"""
    command = ["node", "--input-type=module", "--eval", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def answering(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server for this machine only."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the files in a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with answering(functools.partial(Quiet, directory=str(folder))) as url:
        yield url


@pytest.fixture
def folder(module: bytes, tmp_path: Path) -> Path:
    """A directory with the sums as `model.wasm`."""
    (tmp_path / "model.wasm").write_bytes(module)
    return tmp_path


FEED = "{ a: new Float32Array([0, 1, 2, 3, 4, 5]), b: new Float32Array(6), n: new BigInt64Array([21n]) }"


class TestNode:
    """The library."""

    def test_a_module_runs_from_a_path(self, folder: Path) -> None:
        script = f"""
          const graph = await loadGraph("model.wasm");
          const {{ sum, count }} = graph.run({FEED});
          console.log(JSON.stringify([[...sum], Number(count[0])]));"""
        assert node(script, folder) == [[10, 21, 32, 43, 54, 65], 42]

    def test_a_module_runs_from_bytes(self, folder: Path) -> None:
        script = f"""
          import {{ readFileSync }} from "node:fs";
          const graph = await loadGraph(readFileSync("model.wasm"));
          console.log(JSON.stringify([...graph.run({FEED}).sum]));"""
        assert node(script, folder) == [10, 21, 32, 43, 54, 65]

    @pytest.mark.parametrize(
        "source", ['"model.wasm"', 'readFileSync("model.wasm")', 'new Blob([readFileSync("model.wasm")])']
    )
    def test_large_data_is_put_in_place(self, make_module: MakeModule, tmp_path: Path, source: str) -> None:
        address = 1 << 20
        module = make_module(f"WEIGHTS_AT={address}", pages=600)
        data = WEIGHTS.tobytes() + bytes(32 << 20)
        (tmp_path / "model.wasm").write_bytes(wasm.with_data(module, address, data))
        script = f"""
          import {{ readFileSync }} from "node:fs";
          const graph = await loadGraph({source});
          console.log(JSON.stringify([...graph.run({FEED}).sum]));"""
        assert node(script, tmp_path) == [10, 21, 32, 43, 54, 65]

    @pytest.mark.parametrize("metadata_last", [False, True])
    def test_a_module_is_read_while_it_arrives(
        self, make_module: MakeModule, tmp_path: Path, metadata_last: bool
    ) -> None:
        address = 1 << 20
        data = WEIGHTS.tobytes() + bytes(32 << 20)
        module = wasm.with_data(make_module(f"WEIGHTS_AT={address}", pages=600), address, data)
        if metadata_last:
            first, *others = wasm.sections(module)
            module = wasm.assemble([*others, first])
        (tmp_path / "model.wasm").write_bytes(module)
        with served(tmp_path) as url:
            script = f"""
              const graph = await loadGraph("{url}/model.wasm");
              console.log(JSON.stringify([...graph.run({FEED}).sum]));"""
            assert node(script, tmp_path) == [10, 21, 32, 43, 54, 65]

    def test_weights_arrive_beside_the_module(
        self, make_module: MakeModule, metadata: dict[str, Any], tmp_path: Path
    ) -> None:
        metadata["weights"]["mode"] = "file"
        (tmp_path / "model.wasm").write_bytes(make_module("WEIGHTS={0}", metadata=metadata))
        (tmp_path / "model.weights").write_bytes(WEIGHTS.tobytes())
        with served(tmp_path) as url:
            script = f"""
              const graph = await loadGraph("{url}/model.wasm", {{ weights: "{url}/model.weights" }});
              console.log(JSON.stringify([
                [...graph.run({FEED}).sum],
                await kindOf(() => loadGraph("{url}/model.wasm", {{ weights: "{url}/none.weights" }})),
              ]));"""
            values, none = node(script, tmp_path)
        assert values == [10, 21, 32, 43, 54, 65]
        assert none.startswith("not_found: ")
        assert "404" in none

    def test_a_module_that_stops_arriving_is_said_so(self, module: bytes, tmp_path: Path) -> None:
        class Short(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(module)))
                self.end_headers()
                self.wfile.write(module[: len(module) // 2])

            def log_message(self, *_: object) -> None:
                pass

        with answering(Short) as url:
            script = f'console.log(JSON.stringify(await kindOf(() => loadGraph("{url}/model.wasm"))));'
            failure = node(script, tmp_path)
        assert failure.startswith("runtime_error: the bytes end at ")

    def test_outputs_survive_the_next_run(self, folder: Path) -> None:
        script = f"""
          const graph = await loadGraph("model.wasm");
          const first = graph.run({FEED}).sum;
          graph.run({{ a: new Float32Array(6).fill(9) }});
          console.log(JSON.stringify([...first]));"""
        assert node(script, folder) == [10, 21, 32, 43, 54, 65]

    def test_calls_run_one_by_one(self, folder: Path) -> None:
        script = """
          const graph = await loadGraph("model.wasm");
          graph.views.inputs[2][0] = 4n;
          graph.metadata.plan.forEach((_, i) => graph.call(i));
          console.log(Number(graph.views.outputs[1][0]));"""
        assert node(script, folder) == 8

    def test_weights_come_from_their_file(
        self, make_module: MakeModule, metadata: dict[str, Any], tmp_path: Path
    ) -> None:
        metadata["weights"]["mode"] = "file"
        (tmp_path / "model.wasm").write_bytes(make_module("WEIGHTS={0}", metadata=metadata))
        (tmp_path / "model.weights").write_bytes(WEIGHTS.tobytes())
        (tmp_path / "other.weights").write_bytes((WEIGHTS + 1).tobytes())
        (tmp_path / "short.weights").write_bytes(WEIGHTS[1:].tobytes())
        script = f"""
          const graph = await loadGraph("model.wasm", {{ weights: "model.weights" }});
          console.log(JSON.stringify([
            [...graph.run({FEED}).sum],
            await kindOf(() => loadGraph("model.wasm", {{ weights: "other.weights" }})),
            await kindOf(() => loadGraph("model.wasm", {{ weights: "short.weights" }})),
            await kindOf(() => loadGraph("model.wasm")),
          ]));"""
        values, other, short, none = node(script, tmp_path)
        assert values == [10, 21, 32, 43, 54, 65]
        assert other.startswith("invalid_encoding: the weights are of another model")
        assert short == "invalid_encoding: the weights have 20 bytes, expected 24"
        assert none.startswith("invalid_argument: the module's weights are in a file of their own")

    @pytest.mark.parametrize(
        ("feed", "sentence"),
        [
            ("{ c: new Float32Array(6) }", 'there is no input "c"; the inputs are a,b,n'),
            ("{ a: new Float64Array(6) }", 'input "a": expected float32 [2,3] as Float32Array(6), got Float64Array(6)'),
            ("{ a: new Float32Array(5) }", 'input "a": expected float32 [2,3] as Float32Array(6), got Float32Array(5)'),
            ("{ a: null }", 'input "a": expected float32 [2,3] as Float32Array(6), got undefined(undefined)'),
        ],
    )  # fmt: skip
    def test_an_input_that_does_not_fit_is_refused(self, folder: Path, feed: str, sentence: str) -> None:
        script = f"""
          const graph = await loadGraph("model.wasm");
          console.log(JSON.stringify(await kindOf(() => graph.run({feed}))));"""
        assert node(script, folder) == f"invalid_argument: {sentence}"

    def test_every_module_gets_the_verdict_that_all_readers_share(self, verdicts: Path) -> None:
        expected = json.loads((verdicts / "verdicts.json").read_text())
        script = f"""
          const said = {{}};
          for (const name of {json.dumps([*expected])}) {{
            try {{
              const [y] = (await loadGraph(`${{name}}.wasm`)).run({{ x: Float32Array.of(1) }}).y;
              said[name] = y === 3.5 ? "ok" : `y is ${{y}}`;
            }} catch (error) {{
              said[name] = error.kind ?? error.message;
            }}
          }}
          console.log(JSON.stringify(said));"""
        assert node(script, verdicts) == expected

    @pytest.mark.parametrize(
        ("source", "kind"),
        [('"odd.wasm"', "invalid_encoding: graph_input(0) is 66"), ('"missing.wasm"', "not_found")],
    )
    def test_a_module_that_is_none_is_refused(
        self, make_module: MakeModule, tmp_path: Path, source: str, kind: str
    ) -> None:
        (tmp_path / "odd.wasm").write_bytes(make_module("INPUT_ADDRESS(tensor)=66"))
        script = f"console.log(JSON.stringify(await kindOf(() => loadGraph({source}))));"
        assert node(script, tmp_path).startswith(kind)

    def test_a_trap_is_an_error(self, make_module: MakeModule, tmp_path: Path) -> None:
        (tmp_path / "model.wasm").write_bytes(make_module("BEFORE_RUN=__builtin_trap()"))
        script = """
          const graph = await loadGraph("model.wasm");
          console.log(JSON.stringify(await kindOf(() => graph.run())));"""
        assert node(script, tmp_path) == "runtime_error: graph_run() failed: unreachable"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser on a machine that has one; in continuous integration there must be one."""
    if shutil.which("chromedriver") is None and not os.environ.get("CI"):
        pytest.skip("no chromedriver: install chromium-driver to test the page")
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of `guests/web`, served to this machine only."""
    with served(find_part("guests/web", "guests/web")) as url:
        yield url


@pytest.fixture
def address() -> Iterator[str]:
    """The page that classifies."""
    with serving() as root:
        yield f"{root}/page/index.html"


class TestPage:
    """The page that classifies a picture."""

    @pytest.fixture
    def files(self, colors: bytes, tmp_path: Path) -> Path:
        (tmp_path / "colors.wasm").write_bytes(colors)
        (tmp_path / "text.png").write_text("text")
        Image.new("RGB", (45, 30), (10, 200, 40)).save(tmp_path / "green.png")
        return tmp_path

    def test_a_chosen_picture_is_classified(self, page: Browser, address: str, files: Path) -> None:
        page.open(address)
        page.choose_file("#model", files / "colors.wasm")
        page.choose_file("#picture", files / "green.png")
        assert page.text("#classes tr:first-child td:nth-child(2)") == "green"
        assert page.text("#time").endswith(" ms")
        assert page.text("#about").startswith("colors: ")

    def test_dropped_files_are_classified(self, page: Browser, address: str, files: Path) -> None:
        page.open(address)
        page.drop_files("#drop", [files / "green.png", files / "colors.wasm"])
        assert page.text("#classes tr:first-child td:nth-child(2)") == "green"

    def test_a_dropped_model_finds_its_weights(
        self, page: Browser, address: str, files: Path, make_module: MakeModule
    ) -> None:
        apart = COLORS | {"weights": COLORS["weights"] | {"mode": "file"}}
        (files / "apart.wasm").write_bytes(make_module(name="colors", metadata=apart))
        (files / "apart.weights").touch()
        page.open(address)
        page.drop_files("#drop", [files / "apart.weights", files / "apart.wasm", files / "green.png"])
        assert page.text("#classes tr:first-child td:nth-child(2)") == "green"

    def test_a_file_that_is_no_picture_is_said_so(self, page: Browser, address: str, files: Path) -> None:
        page.open(address)
        page.choose_file("#picture", files / "text.png")
        assert page.text("#error:not(:empty)") == "text.png: not a picture that this browser reads"

    def test_a_module_that_is_none_is_said_so(self, page: Browser, address: str, files: Path) -> None:
        (files / "bad.wasm").write_text("text")
        page.open(address)
        page.choose_file("#model", files / "bad.wasm")
        assert "not a WebAssembly module" in page.text("#error:not(:empty)")

    def test_a_model_that_takes_no_pictures_is_said_so(
        self, page: Browser, address: str, files: Path, module: bytes
    ) -> None:
        (files / "sums.wasm").write_bytes(module)
        page.open(address)
        page.choose_file("#model", files / "sums.wasm")
        page.choose_file("#picture", files / "green.png")
        assert "is not one picture" in page.text("#error:not(:empty)")

    def test_preprocessing_of_the_module_is_applied(
        self, page: Browser, address: str, files: Path, make_module: MakeModule
    ) -> None:
        inverted = COLORS | {"preprocess": COLORS["preprocess"] | {"std": [1, -1, 1]}}
        (files / "inverted.wasm").write_bytes(make_module(name="colors", metadata=inverted))
        page.open(address)
        page.choose_file("#model", files / "inverted.wasm")
        page.choose_file("#picture", files / "green.png")
        assert page.text("#classes tr:first-child td:nth-child(2)") == "blue"


def test_types_are_those_of_the_library(folder: Path) -> None:
    declared = LIBRARY.with_suffix(".d.ts").read_text()
    members = re.findall(
        r"^  (?:readonly )?(\w+)[(:]", declared.split("interface Graph {")[1].split("\n}")[0], re.M
    )
    arrays = re.findall(r"^  (\w+): (\w+);", declared.split("interface Arrays {")[1].split("\n}")[0], re.M)
    exported = re.findall(r"^export (?:class|function) (\w+)", declared, re.M)
    script = f"""
      const library = await import({json.dumps(LIBRARY.as_uri())});
      const {{ ARRAYS }} = await import({json.dumps(LIBRARY.with_name("tensors.js").as_uri())});
      const graph = await loadGraph("model.wasm");
      const own = [...Object.keys(graph), ...Object.getOwnPropertyNames(Object.getPrototypeOf(graph))];
      console.log(JSON.stringify({{
        exported: Object.keys(library), members: own.filter((name) => name !== "constructor"),
        arrays: Object.entries(ARRAYS).map(([name, type]) => [name, type.name]),
      }}));"""
    found = node(script, folder)
    assert sorted(found["exported"]) == sorted(exported)
    assert sorted(found["members"]) == sorted(members)
    assert found["arrays"] == [list(pair) for pair in arrays]
