"""A small GPT that the training host trained writes the same text everywhere as torch does, one byte a run.

torch reads all bytes again for each new one; the compiled module keeps keys and values of those it has read.
"""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from wasmgrad._files import find_part
from wasmgrad.compiler import CompileOptions, compile_model, single_operator

from ..graph.browser import browser
from ..graph.test_javascript import serving

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[3]
PROMPT, COUNT = "The statement ", 100
STATE = {"key_*": "next_key_*", "value_*": "next_value_*"}
CHOICES = [{"temperature": 0, "seed": 0}, {"temperature": 0.8, "seed": 7}]

Scores = Callable[[list[int]], NDArray[np.float32]]


def zoo(name: str) -> Path:
    command = [sys.executable, str(ROOT / "tools/make_models.py"), name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def random_numbers(seed: int) -> Iterator[float]:
    """The generator mulberry32."""
    mask, state = (1 << 32) - 1, seed
    while True:
        state = (state + 0x6D2B79F5) & mask
        mixed = (state ^ state >> 15) * (state | 1) & mask
        mixed ^= mixed + ((mixed ^ mixed >> 7) * (mixed | 61) & mask) & mask
        yield ((mixed ^ mixed >> 14) & mask) / 2**32


def chosen(scores: NDArray[np.float32], temperature: float, random: Iterator[float]) -> int:
    best = int(np.argmax(scores))
    if temperature == 0:
        return best
    weights = [math.exp((float(score) - float(scores[best])) / temperature) for score in scores]
    left = next(random) * sum(weights)
    for byte, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return byte
    return best


def written(scores_of: Scores, temperature: float, seed: int) -> str:
    """What follows the prompt. `scores_of` takes the bytes that are read, at most 64; it is called for each more."""
    read: list[int] = []
    random, text = random_numbers(seed), ""

    def feed(byte: int) -> NDArray[np.float32]:
        if len(read) == 64:
            kept = read[32:]
            read.clear()
            for each in kept:
                feed(each)
        read.append(byte)
        return scores_of(read)

    for byte in PROMPT.encode():
        scores = feed(byte)
    for _ in range(COUNT):
        byte = chosen(scores, temperature, random)
        text += chr(byte)
        scores = feed(byte)
    return text


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """What torch writes for each choice."""
    model = torch.export.load(zoo("gpt-text.pt2")).module()

    def scores(read: list[int]) -> NDArray[np.float32]:
        tokens = torch.zeros(1, 64, dtype=torch.int64)
        tokens[0, : len(read)] = torch.tensor(read)
        with torch.no_grad():
            return model(tokens)[0, len(read) - 1].numpy()

    return [written(scores, **choice) for choice in CHOICES]


@functools.cache
def compiled(target: Any) -> bytes:
    options = CompileOptions(state=STATE, target=target)
    return compile_model(zoo("gpt-text"), options).module


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpt") / "gpt.wasm"
    path.write_bytes(compiled("wasm32"))
    return path


@pytest.mark.parametrize("engine", ["wasmtime", "wasmedge", "native"])
def test_a_host_in_python_writes_what_torch_writes(engine: str, texts: list[str]) -> None:
    module = wasmgrad.load(compiled("native" if engine == "native" else "wasm32"), engine)

    def scores(read: list[int]) -> Any:
        return module(token=np.array(read[-1:]), position=np.array([len(read) - 1]))

    assert [written(scores, **choice) for choice in CHOICES] == texts
    module.close()


def test_nothing_of_the_cache_is_copied() -> None:
    module = wasmgrad.load(compiled("wasm32"))
    kernels = [entry.kernel for entry in module.metadata.plan]
    assert sum("_in_place" in kernel for kernel in kernels) == len(module.states) == 6
    assert not any(kernel.startswith("copy_") for kernel in kernels)


def test_the_model_has_learnt(texts: list[str]) -> None:
    """It writes words of its language, not only the one that is most frequent."""
    words = set("".join(texts).lower().split())
    assert (
        len(words & {"the", "a", "of", "to", "is", "and", "in", "an", "that", "for", "be", "are", "or"}) >= 3
    )


SCRIPT = f"""async (source, page, choices) => {{
  const {{ loadGraph }} = await import(`${{page}}/host/graph.js`);
  const {{ write }} = await import(`${{page}}/page/text.js`);
  const graph = await loadGraph(source ?? document.querySelector("#model").files[0]);
  return choices.map((choice) => {{
    const characters = write(graph, {json.dumps(PROMPT)}, choice);
    return Array.from({{ length: {COUNT} }}, () => characters.next().value).join("");
  }});
}}"""


@pytest.mark.node
def test_node_writes_what_torch_writes(module: Path, texts: list[str]) -> None:
    page = find_part("guests/web/host/graph.js", "guests/web/host/graph.js").parents[1].as_uri()
    arguments = ", ".join(map(json.dumps, (str(module), page, CHOICES)))
    script = f"console.log(JSON.stringify(await ({SCRIPT})({arguments})));"
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == texts


@pytest.mark.node
def test_a_browser_writes_what_torch_writes(module: Path, texts: list[str], tmp_path: Path) -> None:
    if shutil.which("chromedriver") is None and not os.environ.get("CI"):
        pytest.skip("no chromedriver: install chromium-driver to test the page")
    with browser(tmp_path) as session, serving() as address:
        session.open(f"{address}/page/text.html")
        session.choose_file("#model", module)
        assert session.text("#speed:not(:empty)").endswith(" characters a second")
        shown = session.evaluate("""async () => {
          const text = document.querySelector("#text");
          while (text.textContent.length < 414) await new Promise((done) => setTimeout(done, 20));
          return text.textContent;
        }""")
        assert shown.startswith(PROMPT + texts[0])
        found = session.evaluate(SCRIPT, None, "", CHOICES)
    assert found == texts


@pytest.mark.node
def test_another_model_is_refused(tmp_path: Path, module: Path) -> None:
    page = find_part("guests/web/host/graph.js", "guests/web/host/graph.js").parents[1].as_uri()
    other = compile_model(single_operator("relu", [4], "float32"), CompileOptions())
    (tmp_path / "relu.wasm").write_bytes(other.module)
    script = f"""
      const {{ loadGraph }} = await import("{page}/host/graph.js");
      const {{ write }} = await import("{page}/page/text.js");
      try {{ write(await loadGraph("relu.wasm"), "a").next(); }} catch (error) {{ console.log(error.message); }}"""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert "the model is no step of a text" in done.stdout
