// Runs graph modules compiled by wasmgrad, in Node and in browsers:
//
//   const graph = await loadGraph("model.wasm");              // a path, URL, File, ArrayBuffer or typed array
//   const { scores } = graph.run({ input: new Float32Array(3 * 224 * 224) });
//
// A module may keep state between runs, such as what a language model has read: `graph.state("name")` is a view of it, and
// `graph.reset()` begins anew. It knows nothing of pictures. Every address that a module gives is checked before it is used.
import { GraphError } from "./error.js";
import { instantiate } from "./module.js";
import { openSource } from "./source.js";
import { viewFor, viewNamed } from "./tensors.js";
import { Threads } from "./threads.js";
import { fillWeights } from "./weights.js";

export { GraphError };

/**
 * Loads and instantiates a module. `weights`: where they are, for a module whose weights are in a file of their own. `threads`: how
 * many run it, of those that it was compiled for; by default as many as are of use. A page that is not cross-origin isolated has one.
 */
export async function loadGraph(from, { weights, threads } = {}) {
  const apart = weights === undefined ? undefined : openSource(weights); // they arrive while the module does
  apart?.catch(() => {}); // told when they are needed
  const source = await openSource(from);
  const made = await instantiate(source).finally(() => source.close());
  const { metadata, module, memory, instance } = made;
  const team = await Threads.of(made, threads);
  const graph = new Graph(metadata, instance, team);
  if (metadata.weights.mode === "file") await fillWeights(instance, metadata.weights, apart);
  await team.start(module, memory);
  return graph;
}

/** A module that can run. `inputs`, `outputs` and `states` list {name, dtype, shape}; `views` are typed arrays over their memory. */
class Graph {
  #instance;
  #threads;

  constructor(metadata, instance, threads) {
    this.#instance = instance;
    this.#threads = threads;
    this.threads = threads.count;
    this.metadata = metadata;
    this.inputs = metadata.inputs;
    this.outputs = metadata.outputs;
    this.states = metadata.states;
    instance.invoke("_initialize");
    const states = this.states.length > 0 ? instance.views("state", this.states) : [];
    this.views = { inputs: instance.views("input", this.inputs), outputs: instance.views("output", this.outputs), states };
  }

  /** Copies `feeds` (input name to typed array) in, runs, and returns copies of the outputs by name. */
  run(feeds = {}) {
    const names = Object.keys(feeds);
    const views = names.map((name) => viewFor(this.inputs, this.views.inputs, name, feeds[name]));
    views.forEach((view, i) => view.set(feeds[names[i]]));
    this.execute();
    const results = { __proto__: null }; // an output may have any name
    for (let i = 0; i < this.outputs.length; i++) results[this.outputs[i].name] = this.views.outputs[i].slice();
    return results;
  }

  /** Runs on what the input views hold. */
  execute() {
    this.#instance.succeed("graph_run");
  }

  /** A view of the state of that name, zero before the first run: it changes with each run, and what is written to it counts. */
  state(name) {
    return viewNamed("state", this.states, this.views.states, name);
  }

  /** Makes all states zero again. */
  reset() {
    for (const view of this.views.states) new Uint8Array(view.buffer, view.byteOffset, view.byteLength).fill(0);
  }

  /** Ends its other threads; it cannot run afterwards. One thread alone needs no end. */
  close() {
    this.#threads.end();
  }

  /** Runs one call of `metadata.plan`, for profiling. */
  call(index) {
    this.#instance.succeed("graph_call", index);
  }
}
