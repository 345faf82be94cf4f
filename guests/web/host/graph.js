// Runs graph modules compiled by wasmgrad, in Node and in browsers:
//
//   const graph = await loadGraph("model.wasm");              // a path, URL, File, ArrayBuffer or typed array
//   const { scores } = graph.run({ input: new Float32Array(3 * 224 * 224) });
//
// A module may take inputs of several shapes: the lengths of the arrays tell which, or `{ shapes }`. It may keep state between
// runs, such as what a language model has read: `graph.state("name")` is a view of it, and `graph.reset()` begins anew. It knows nothing of pictures. Every address that a module gives is checked before it is used.
import { GraphError } from "./error.js";
import { instantiate } from "./module.js";
import { choose, selects, tensorsOf } from "./plans.js";
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

/**
 * A module that can run. `inputs`, `outputs` and `states` list {name, dtype, shape}; `views` are typed arrays over their memory. Of
 * a module with several plans they are those of the one that was chosen last, at first of the first one.
 */
class Graph {
  #instance;
  #threads;
  #plans;
  #chosen;
  #isSelected = false; // by its host, and not by what it ran

  constructor(metadata, instance, threads) {
    this.#instance = instance;
    this.#threads = threads;
    this.threads = threads.count;
    this.metadata = metadata;
    this.states = metadata.states;
    this.#plans = metadata.plans;
    instance.invoke("_initialize");
    const states = this.states.length > 0 ? instance.views("state", this.states) : [];
    this.views = { inputs: [], outputs: [], states };
    for (let number = this.#plans.length - 1; number >= 0; number--) this.#take(number, 0); // all, so that none lies
  }

  #take(number, samples) {
    if (selects(this.#plans)) this.#instance.succeed("graph_select", number, samples);
    this.#chosen = [number, samples];
    const { inputs, outputs } = tensorsOf(this.#plans[number], samples);
    Object.assign(this, { inputs, outputs });
    this.views = { ...this.views, inputs: this.#instance.views("input", inputs), outputs: this.#instance.views("output", outputs) };
  }

  /**
   * Chooses the plan of an entry (that of the first plan, if none is named) that takes inputs of these shapes, by name. `inputs`,
   * `outputs` and `views` are its own then; what the inputs held is lost, unless it has been chosen already.
   */
  select({ shapes = {}, entry = this.#plans[0].entry } = {}) {
    this.selectPlan(...choose(this.#plans, entry, shapes));
  }

  /** Chooses a plan by its number in `metadata.plans`, for so many samples; for 0, as many as it can. */
  selectPlan(number, samples = 0) {
    if (number !== this.#chosen[0] || samples !== this.#chosen[1]) this.#take(number, samples);
    this.#isSelected = true;
  }

  /**
   * Copies `feeds` (input name to typed array) in, runs, and returns copies of the outputs by name. `shapes` (by input name) tell
   * which plan is meant where lengths do not.
   */
  run(feeds = {}, { shapes = {}, entry } = {}) {
    const names = Object.keys(feeds);
    if (selects(this.#plans)) this.#selectFor(names, feeds, shapes, entry);
    const views = names.map((name) => viewFor(this.inputs, this.views.inputs, name, feeds[name]));
    views.forEach((view, i) => view.set(feeds[names[i]]));
    this.execute();
    const results = { __proto__: null }; // an output may have any name
    for (let i = 0; i < this.outputs.length; i++) results[this.outputs[i].name] = this.views.outputs[i].slice();
    return results;
  }

  /** Feeds that go with the chosen plan may be some of its inputs; another plan needs all. */
  #selectFor(names, feeds, shapes, entry) {
    const here = this.#plans[this.#chosen[0]].entry;
    if (names.length === 0 && Object.keys(shapes).length === 0 && (entry ?? here) === here) return;
    const lengths = Object.fromEntries(names.map((name) => [name, feeds[name]?.length]));
    const [number, samples] = choose(this.#plans, entry ?? this.#plans[0].entry, { ...lengths, ...shapes }, this.#isSelected ? this.#chosen : undefined);
    if (number === this.#chosen[0] && samples === this.#chosen[1]) return;
    const missing = this.#plans[number].inputs.map(({ name }) => name).filter((name) => !names.includes(name));
    if (missing.length > 0) throw new GraphError("invalid_argument", `no array for ${missing}: these shapes are others than before`);
    this.#take(number, samples);
    this.#isSelected = false;
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

  /** Runs one call of the plan, for profiling. */
  call(index) {
    this.#instance.succeed("graph_call", index);
  }
}
