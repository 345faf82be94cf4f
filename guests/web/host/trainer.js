// Trains models that wasmgrad compiled with --train, in Node and in browsers:
//
//   const trainer = await loadTrainer("net.train.wasm");       // what loadGraph takes
//   const { loss } = trainer.step({ x }, labels);              // typed arrays of whole batches, or of fewer rows
//   const bytes = trainer.saveWeights();                       // safetensors, as the training host has them
//
// A step that fails leaves parameters and optimizer state as they were. Whole numbers of 64 bits may be given as other typed arrays.
import { check, GraphError } from "./error.js";
import { loadGraph } from "./graph.js";
import { readTensors, writeTensors } from "./safetensors.js";

const STATUS = [
  [8, "invalid_argument", ({ least, batch }, rows) => `the module takes ${least} to ${batch} rows, not ${rows}`],
  [4, "invalid_argument", ({ classes }) => `a target is none of the ${classes} classes, which are 0 to ${classes - 1}`],
  [1, "runtime_error", (_, __, loss) => `the loss is ${loss}; training cannot go on (a lower learning rate or gradient clipping may help)`],
  [2, "runtime_error", () => "a gradient is not finite; training cannot go on (a lower learning rate or a clip by value may help)"],
];
const NOT_FINITE = 3; // what an evaluation does not mind

/** Loads and instantiates a training module; options are those of `loadGraph`. */
export async function loadTrainer(from, options = {}) {
  const graph = await loadGraph(from, options);
  check(graph.metadata.training, "invalid_argument", "this module does not train: compile the model with --train");
  return new Trainer(graph);
}

/** A model that trains. `training` is what the module says of it, `settings` are its hyper-parameters by name. */
class Trainer {
  #graph;

  constructor(graph) {
    this.#graph = graph;
    this.metadata = graph.metadata;
    this.training = graph.metadata.training;
    this.settings = this.#names("settings.");
  }

  /** One optimizer step on a batch: inputs by name, and targets. Its metrics. */
  step(inputs, target) {
    const [found, rows] = this.#run("step", { ...inputs, target });
    this.#judge(found, rows, 0);
    return this.#means([[found, rows]]);
  }

  /** The metrics of any number of rows, in evaluation mode. */
  evaluate(inputs, target) {
    const parts = this.#pieces("evaluate", { ...inputs, target }).map((feeds) => this.#run("evaluate", feeds));
    for (const [found, rows] of parts) this.#judge(found, rows, NOT_FINITE);
    return this.#means(parts);
  }

  /** The model's outputs by name, in evaluation mode, for any number of rows. */
  predict(inputs) {
    const parts = this.#pieces("predict", inputs).map((feeds) => this.#run("predict", feeds));
    const results = { __proto__: null };
    for (const { name, shape } of this.#plan("predict").outputs) {
      const each = size(shape) / shape[0];
      const pieces = parts.map(([found, rows]) => found[name].subarray(0, rows * each));
      const whole = new pieces[0].constructor(pieces.reduce((sum, piece) => sum + piece.length, 0));
      pieces.reduce((at, piece) => (whole.set(piece, at), at + piece.length), 0);
      results[name] = whole;
    }
    return results;
  }

  /** Changes a hyper-parameter, such as learning_rate. */
  set(name, value) {
    this.#setting(name)[0] = checked(name, value);
  }

  /** A hyper-parameter. */
  get(name) {
    return this.#setting(name)[0];
  }

  /** A view of a tensor that outlives a step: model.*, optimizer.* or settings.*. */
  state(name) {
    return this.#graph.state(name);
  }

  /** Parameters and buffers by their names in the model: copies, with shape and dtype. */
  weights() {
    return this.#tensors("model.");
  }

  /** Takes parameters and buffers, as `weights` gives them: all of them, or none when one does not fit. */
  setWeights(tensors) {
    const own = this.#names("model.");
    const missing = own.filter((name) => tensors[name] === undefined);
    check(missing.length === 0, "invalid_argument", `the weights lack ${missing.slice(0, 3)}`);
    this.#take(Object.fromEntries(own.map((name) => [`model.${name}`, tensors[name]])));
  }

  /** The weights as the bytes of a safetensors file. */
  saveWeights() {
    return writeTensors(this.weights());
  }

  /** Takes the weights of a safetensors file's bytes. */
  loadWeights(bytes) {
    this.setWeights(readTensors(bytes));
  }

  /** All that steps change, as the bytes of a safetensors file. */
  save() {
    const all = { ...prefixed("model.", this.#tensors("model.")), ...prefixed("optimizer.", this.#tensors("optimizer.")) };
    return writeTensors(all);
  }

  /** Takes what `save` gave. */
  load(bytes) {
    const tensors = readTensors(bytes);
    const names = this.#graph.states.map(({ name }) => name).filter((name) => !name.startsWith("settings."));
    const missing = names.filter((name) => tensors[name] === undefined);
    check(missing.length === 0, "invalid_argument", `the file lacks ${missing.slice(0, 3)}`);
    this.#take(Object.fromEntries(names.map((name) => [name, tensors[name]])));
  }

  /** Ends its other threads, as of a graph. */
  close() {
    this.#graph.close();
  }

  #names(prefix) {
    return this.#graph.states.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length));
  }

  #setting(name) {
    const message = `"${name}" cannot be changed; the module has the hyper-parameters ${this.settings}`;
    check(this.settings.includes(name), "invalid_argument", message);
    return this.#graph.state(`settings.${name}`);
  }

  #tensors(prefix) {
    const found = { __proto__: null };
    for (const { name, dtype, shape } of this.#graph.states) {
      if (name.startsWith(prefix)) found[name.slice(prefix.length)] = { dtype, shape, data: this.#graph.state(name).slice() };
    }
    return found;
  }

  #take(tensors) {
    const infos = new Map(this.#graph.states.map((info) => [info.name, info]));
    for (const [name, tensor] of Object.entries(tensors)) {
      const { dtype, shape } = infos.get(name);
      const same = tensor.dtype === dtype && `${tensor.shape}` === `${shape}` && tensor.data.length === size(shape);
      check(same, "invalid_argument", `${name}: expected ${dtype} [${shape}], got ${tensor.dtype} [${tensor.shape}]`);
    }
    for (const [name, tensor] of Object.entries(tensors)) this.#graph.state(name).set(tensor.data);
  }

  #plan(entry) {
    return this.metadata.plans.find((plan) => plan.entry === entry);
  }

  /** The rows of an entry's arrays, which must agree. */
  #rows(entry, feeds) {
    const tensors = this.#plan(entry).inputs.filter(({ name }) => name !== "rows");
    const names = tensors.map(({ name }) => name);
    const wrong = [...names.filter((name) => feeds[name] === undefined), ...Object.keys(feeds).filter((name) => !names.includes(name))];
    check(wrong.length === 0, "invalid_argument", `${entry} takes ${names}; ${wrong} is missing, or too much`);
    const counts = tensors.map(({ name, shape }) => (feeds[name].length / size(shape)) * shape[0]);
    const same = counts.every((count) => count === counts[0]) && Number.isInteger(counts[0]);
    check(same, "invalid_argument", `the arrays of ${names} have ${counts} rows; expected as many in each`);
    return counts[0];
  }

  #pieces(entry, feeds) {
    const rows = this.#rows(entry, feeds);
    const tensors = this.#plan(entry).inputs.filter(({ name }) => name !== "rows");
    const pieces = [];
    for (let begin = 0; begin < rows; begin += this.training.batch) {
      const end = Math.min(rows, begin + this.training.batch);
      const part = ({ name, shape }) => [name, feeds[name].subarray((begin * size(shape)) / shape[0], (end * size(shape)) / shape[0])];
      pieces.push(Object.fromEntries(tensors.map(part)));
    }
    check(pieces.length > 0, "invalid_argument", "there are no rows");
    return pieces;
  }

  /** Runs an entry on a batch that is filled up with zeros: its outputs, and how many rows there were. */
  #run(entry, feeds) {
    const { batch, least, partial } = this.training;
    const rows = this.#rows(entry, feeds);
    const fits = rows >= (entry === "step" ? least : 1) && rows <= batch;
    check(fits, "invalid_argument", `a ${entry} takes ${least} to ${batch} rows, not ${rows}`);
    const whole = entry !== "step" || rows === batch || partial;
    check(whole, "invalid_argument", `a step takes ${batch} rows, not ${rows}: in this model the rows of a batch have to do with each other`);
    this.#graph.select({ entry });
    const { inputs, outputs } = this.#graph;
    inputs.forEach(({ name, dtype }, i) => {
      const view = this.#graph.views.inputs[i];
      if (name === "rows") return view.fill(BigInt(rows));
      view.set(matching(name, dtype, view, feeds[name]));
      return view.fill(dtype.endsWith("64") && dtype !== "float64" ? 0n : 0, feeds[name].length);
    });
    this.#graph.execute();
    return [Object.fromEntries(outputs.map(({ name }, i) => [name, this.#graph.views.outputs[i].slice()])), rows];
  }

  #judge(found, rows, ignored) {
    const status = found.status[0] & ~ignored;
    for (const [bit, kind, sentence] of STATUS) {
      if (status & bit) throw new GraphError(kind, sentence(this.training, rows, found.loss[0]));
    }
  }

  #means(parts) {
    const samples = parts.reduce((sum, [, rows]) => sum + rows, 0);
    const loss = parts.reduce((sum, [found, rows]) => sum + found.loss[0] * rows, 0) / samples;
    const [ranked, correct, inTopK] = ["ranked", "correct", "in_top_k"].map((name) => parts.reduce((sum, [found]) => sum + Number(found[name][0]), 0));
    if (ranked === 0) return { loss, samples };
    const { classes, top_k: k } = this.training;
    return { loss, samples, accuracy: correct / ranked, ...(classes > k && { topKAccuracy: inTopK / ranked }) };
  }
}

const size = (shape) => shape.reduce((a, b) => a * b, 1);

const prefixed = (prefix, tensors) => Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]));

function checked(name, value) {
  check(Number.isFinite(value) && value >= 0, "invalid_argument", `${name}: expected a finite number of at least 0, not ${value}`);
  return value;
}

/** The array as one that the view takes: 64-bit integers may come as other numbers. */
function matching(name, dtype, view, array) {
  if (array?.constructor === view.constructor) return array;
  const whole = view instanceof BigInt64Array && ArrayBuffer.isView(array) && !(array instanceof DataView) && array.every(Number.isInteger);
  check(whole, "invalid_argument", `input "${name}": expected ${dtype} as ${view.constructor.name}, got ${array?.constructor.name}`);
  return BigInt64Array.from(array, BigInt);
}
