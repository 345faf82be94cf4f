"""What a module keeps from one run to the next: read, set and reset alike on every engine and in JavaScript."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wasmgrad import InvalidArgument, InvalidEncoding
from wasmgrad._graph.engines import ENGINES
from wasmgrad._graph.inspect import inspect
from wasmgrad._graph.module import GraphModule, load

from .conftest import METADATA, PAGES, TOTAL, MakeModule
from .test_javascript import FEED, node

Arrays = dict[str, Any]
STATEFUL = METADATA | {"states": [TOTAL]}


@pytest.fixture(params=[name for name in ENGINES if name != "native"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def counting(engine: str, make_module: MakeModule) -> Iterator[GraphModule]:
    """The sums, with their total."""
    made = load(make_module(metadata=STATEFUL), engine)
    yield made
    made.close()


def test_a_state_goes_on_from_run_to_run(counting: GraphModule, arrays: Arrays) -> None:
    assert (counting.state("total").dtype, counting.state("total").shape) == (np.int64, ())
    found = [int(counting.state("total"))]
    for _ in range(3):
        counting(**arrays)
        found.append(int(counting.state("total")))
    assert found == [0, 21, 42, 63]


def test_a_state_can_be_set_and_reset(counting: GraphModule, arrays: Arrays) -> None:
    counting.set_state("total", np.array(-20))
    counting(**arrays)
    assert counting.state("total") == 1
    counting.reset()
    assert counting.state("total") == 0
    counting(**arrays)
    assert counting.state("total") == 21


def test_two_instances_have_states_of_their_own(counting: GraphModule, arrays: Arrays) -> None:
    other = load(counting._graph.module.read(), counting.engine)  # type: ignore[arg-type]
    counting(**arrays)
    assert (counting.state("total"), other.state("total")) == (21, 0)
    other.close()


def test_many_inputs_go_through_one_instance_in_order(make_module: MakeModule, arrays: Arrays) -> None:
    loaded = load(make_module(metadata=STATEFUL))
    loaded(**arrays)
    seen = []

    class Counting:
        def __init__(self, instance: GraphModule) -> None:
            self.instance, self.close = instance, instance.close

        def run(self, given: Any) -> None:
            self.instance(**given)
            seen.append(int(self.instance.state("total")))

    list(loaded.map([arrays] * 5, runner=Counting))
    assert seen == [21, 42, 63, 84, 105]
    assert loaded.state("total") == 21
    with pytest.raises(InvalidArgument, match="a model that keeps state has one instance, not 2"):
        list(loaded.map([arrays], workers=2))


def test_a_pickled_module_begins_anew(make_module: MakeModule, arrays: Arrays) -> None:
    loaded = load(make_module(metadata=STATEFUL))
    loaded(**arrays)
    assert pickle.loads(pickle.dumps(loaded)).state("total") == 0


def test_a_copy_of_a_state_stays_as_it_is(counting: GraphModule, arrays: Arrays) -> None:
    before = counting.state("total")
    counting(**arrays)
    assert before == 0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("sum", np.array(0), "there is no state 'sum'; the states are total: int64"),
        ("total", np.array(0, np.int32), "state 'total': expected dtype int64, got int32"),
        ("total", np.zeros(1, np.int64), r"state 'total': expected shape \[\], got \[1\]"),
    ],
)
def test_a_value_that_is_no_state_is_refused(
    counting: GraphModule, name: str, value: Any, sentence: str
) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        counting.set_state(name, value)


def test_a_module_without_states_says_so(module: bytes) -> None:
    loaded = load(module)
    loaded.reset()
    with pytest.raises(InvalidArgument, match="there is no state 'total'; the states are none"):
        loaded.state("total")


@pytest.mark.parametrize("address", ["-64", f"{PAGES * 65536 - 4}", "0"])
def test_a_state_outside_the_memory_is_refused(engine: str, make_module: MakeModule, address: str) -> None:
    with pytest.raises(InvalidEncoding, match="state"):
        load(make_module(f"STATE_ADDRESS(tensor)={address}", metadata=STATEFUL), engine)


def test_a_state_that_is_not_there_is_refused(engine: str, make_module: MakeModule) -> None:
    two = METADATA | {"states": [TOTAL, TOTAL | {"name": "other"}]}
    with pytest.raises(InvalidEncoding, match="state"):
        load(make_module(metadata=two), engine)


def test_states_are_shown(make_module: MakeModule, tmp_path: Path) -> None:
    path = tmp_path / "sums.wasm"
    path.write_bytes(make_module(metadata=STATEFUL))
    assert inspect(path).states == ["total: int64[], next from next_total"]


@pytest.mark.node
class TestJavaScript:
    """The library."""

    def run(self, make_module: MakeModule, folder: Path, script: str) -> Any:
        (folder / "model.wasm").write_bytes(make_module(metadata=STATEFUL))
        return node(f'const graph = await loadGraph("model.wasm"); {script}', folder)

    def test_a_state_is_a_view_of_what_the_module_holds(
        self, make_module: MakeModule, tmp_path: Path
    ) -> None:
        script = f"""
          const state = graph.state("total");
          const found = [state[0]];
          graph.run({FEED});
          graph.run({FEED});
          found.push(state[0]);
          state[0] = -20n;
          graph.run({FEED});
          found.push(state[0]);
          graph.reset();
          found.push(graph.views.states[0][0]);
          console.log(JSON.stringify([found.map(Number), graph.states]));"""
        assert self.run(make_module, tmp_path, script) == [[0, 42, 1, 0], [TOTAL]]

    def test_an_unknown_state_is_refused(self, make_module: MakeModule, tmp_path: Path) -> None:
        script = 'console.log(JSON.stringify(await kindOf(() => graph.state("sum"))));'
        sentence = 'invalid_argument: there is no state "sum"; the states are total'
        assert self.run(make_module, tmp_path, script) == sentence


def test_the_states_of_a_document_are_read(make_module: MakeModule) -> None:
    metadata = load(make_module(metadata=STATEFUL)).metadata
    assert json.loads(metadata.to_json())["states"] == [TOTAL]
