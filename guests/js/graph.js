// Runs graph modules compiled by wasmgrad, in Node and in browsers:
//
//   const graph = await loadGraph("model.wasm");              // a path, URL, File, ArrayBuffer or typed array
//   const { scores } = graph.run({ input: new Float32Array(3 * 224 * 224) });
//
// It knows nothing of pictures. Every address that a module gives is checked before it is used.
import { check, GraphError } from "./error.js";
import { instantiate } from "./module.js";
import { openSource } from "./source.js";
import { ARRAYS, viewAt, viewFor } from "./tensors.js";
import { fillWeights } from "./weights.js";

export { GraphError };

/** Loads and instantiates a module. `weights`: where they are, for a module whose weights are in a file of their own. */
export async function loadGraph(from, { weights } = {}) {
  const source = await openSource(from);
  const { metadata, exports } = await instantiate(source).finally(() => source.close());
  const graph = new Graph(metadata, exports);
  if (metadata.weights.mode === "file") await fillWeights(graph, weights);
  return graph;
}

/** An instance of a module. `inputs` and `outputs` list {name, dtype, shape}; `views` are typed arrays over their memory. */
export class Graph {
  #exports;

  constructor(metadata, exports) {
    this.#exports = exports;
    this.metadata = metadata;
    this.inputs = metadata.inputs;
    this.outputs = metadata.outputs;
    this.#invoke("_initialize");
    this.views = { inputs: this.#views("input", this.inputs), outputs: this.#views("output", this.outputs) };
  }

  /** Copies `feeds` (input name to typed array) in, runs, and returns copies of the outputs by name. */
  run(feeds = {}) {
    const places = Object.entries(feeds).map(([name, array]) => [viewFor(this.inputs, this.views.inputs, name, array), array]);
    for (const [view, array] of places) view.set(array);
    this.execute();
    return Object.fromEntries(this.outputs.map(({ name }, i) => [name, this.views.outputs[i].slice()]));
  }

  /** Runs on what the input views hold. */
  execute() {
    this.#succeed("graph_run");
  }

  /** Runs one call of `metadata.plan`, for profiling. */
  call(index) {
    this.#succeed("graph_call", index);
  }

  /** A typed array at the address that an export returns. */
  viewOf(type, size, name, ...args) {
    const address = this.#invoke(name, ...args) >>> 0;
    check(address > 0, "invalid_encoding", `${name}(${args}) is 0: the module lacks what its metadata names`);
    return viewAt(this.#exports.memory, type, address, size, `${name}(${args})`);
  }

  #views(side, tensors) {
    const more = this.#invoke(`graph_${side}`, tensors.length) !== 0;
    check(!more, "invalid_encoding", `the module has more ${side}s than the ${tensors.length} of its metadata`);
    return tensors.map(({ dtype, shape }, i) => this.viewOf(ARRAYS[dtype], shape.reduce((a, b) => a * b, 1), `graph_${side}`, i));
  }

  #succeed(name, ...args) {
    const code = this.#invoke(name, ...args);
    check(code === 0, "runtime_error", `${name}(${args}) failed with code ${code}`);
  }

  #invoke(name, ...args) {
    try {
      return this.#exports[name](...args);
    } catch (error) { // a TypeError: it has other parameters, or is no function
      throw new GraphError(error instanceof TypeError ? "invalid_encoding" : "runtime_error", `${name}(${args}) failed: ${error.message}`);
    }
  }
}
