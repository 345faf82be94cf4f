// What a graph module says about itself, checked as cpp/graph/metadata.cpp checks it: whoever made the module may have lied. Both
// give the same verdict on each module of tests/graph_modules.
import { check, GraphError } from "./error.js";
import { ARRAYS } from "./tensors.js";

const ABI = 1;
const ENTRY = "run";
const MOST_THREADS = 64;
const ADDRESS_SPACE = 2 ** 32;
const MOST_BYTES = 64 << 20;
const MOST_LEVELS = 64;
const MOST_DIMENSIONS = 64;
const MOST_BATCH = 2 ** 31 - 1;
const MOST_PLANS = 1024;
const MOST_PIXELS = (1 << 15) - 1; // of a side
const CHANNELS = { RGB: 3, BGR: 3, L: 1 };

/** A value and its place in the document. */
class Node {
  constructor(value, place) {
    this.value = value;
    this.place = place;
  }

  refuse(expected) {
    const shown = JSON.stringify(this.value);
    throw new GraphError("invalid_encoding", `${this.place} is ${shown.slice(0, 60)}${shown.length > 60 ? "..." : ""}; expected ${expected}`);
  }

  /** A key that is absent reads as null. */
  get(key) {
    return new Node(Object.hasOwn(this.object(), key) ? this.value[key] : null, `${this.place}.${key}`);
  }

  object() {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) this.refuse("an object");
    return this.value;
  }

  items() {
    if (!Array.isArray(this.value)) this.refuse("an array");
    return this.value.map((item, i) => new Node(item, `${this.place}[${i}]`));
  }

  /** What `read` makes of it, unless it is null. */
  optional(read) {
    if (this.value !== null) read(this);
  }

  text() {
    if (typeof this.value !== "string") this.refuse("a string");
    return this.value;
  }

  count(max = Number.MAX_SAFE_INTEGER) {
    if (!(Number.isInteger(this.value) && this.value >= 0 && this.value <= max)) this.refuse(`an integer from 0 to ${max}`);
    return this.value;
  }

  number() {
    if (!(typeof this.value === "number" && Math.abs(this.value) <= 1e30)) this.refuse("a number of at most 1e30");
    return this.value;
  }

  flag() {
    if (typeof this.value !== "boolean") this.refuse("true or false");
    return this.value;
  }

  digest() {
    if (!/^[0-9a-f]{64}$/.test(this.text())) this.refuse("64 hexadecimal digits in lower case");
    return this.value;
  }

  choice(...names) {
    if (!names.includes(this.value)) this.refuse(`one of ${names}`);
    return this.value;
  }
}

/** The document. As strict as the native reader: no key twice, no deep nesting, no number that no f64 holds, only Unicode. */
function parse(bytes) {
  check(bytes.length <= MOST_BYTES, "invalid_encoding", `metadata of ${bytes.length} bytes; expected at most ${MOST_BYTES}`);
  let text, document;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    document = JSON.parse(text);
  } catch (error) {
    throw new GraphError("invalid_encoding", `metadata is not JSON: ${error.message}`);
  }
  let kept = 0;
  const walk = (value, level) => {
    check(level <= MOST_LEVELS, "invalid_encoding", `metadata is nested deeper than ${MOST_LEVELS} levels`);
    const sound = typeof value === "string" ? value.isWellFormed() : typeof value !== "number" || Number.isFinite(value);
    check(sound, "invalid_encoding", "metadata has text that is no Unicode, or a number that no f64 holds");
    if (typeof value !== "object" || value === null) return;
    const keys = Array.isArray(value) ? [] : Object.keys(value);
    kept += keys.length;
    for (const inner of [...keys, ...Object.values(value)]) walk(inner, level + 1);
  };
  walk(document, 0);
  let written = 0; // strings before a colon are keys
  for (const [, colon] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g)) written += colon ? 1 : 0;
  check(written === kept, "invalid_encoding", "metadata has a key twice");
  return document;
}

function checkTensors(node, memory, batch = null) {
  const names = new Set();
  for (const tensor of node.items()) {
    if (tensor.get("name").text() === "") tensor.get("name").refuse("a name");
    if (names.has(tensor.get("name").value)) tensor.get("name").refuse("a name that no other one has");
    names.add(tensor.get("name").value);
    let bytes = ARRAYS[tensor.get("dtype").choice(...Object.keys(ARRAYS))].BYTES_PER_ELEMENT;
    const shape = tensor.get("shape");
    if (shape.items().length > MOST_DIMENSIONS) shape.refuse(`at most ${MOST_DIMENSIONS} dimensions`);
    for (const extent of shape.items()) {
      bytes *= extent.count(ADDRESS_SPACE - 1);
      if (bytes >= ADDRESS_SPACE) shape.refuse("a tensor of less than 4 GiB");
    }
    if (bytes > memory) shape.refuse(`a tensor within the ${memory} bytes of the memory`);
    tensor.get("batched").optional((batched) => checkBatched(batched, shape.value, batch));
  }
}

function checkBatched(node, shape, batch) {
  let before = -1;
  for (const axis of node.items()) {
    if (batch === null || shape.length === 0) axis.refuse("no axis: there is no batch");
    if (axis.count(shape.length - 1) <= before) axis.refuse("axes in ascending order");
    if (shape[axis.value] % batch.most !== 0) axis.refuse("an axis that is a multiple of the largest batch");
    before = axis.value;
  }
}

/** A plan's part of a document, which the whole of it has for the first one, with what is left out put in. */
function readPlan(node, memory) {
  node.get("entry").optional((entry) => {
    if (entry.text() === "") entry.refuse("a name");
  });
  node.get("batch").optional((batch) => {
    const most = batch.get("most").count(MOST_BATCH);
    if (batch.get("least").count(most) === 0) batch.get("least").refuse("1 or more");
  });
  const batch = node.get("batch").value;
  checkTensors(node.get("inputs"), memory, batch);
  checkTensors(node.get("outputs"), memory, batch);
  node.get("flops").count();
  for (const call of node.get("plan").items()) {
    for (const key of ["name", "kernel"]) call.get(key).text();
    for (const key of ["flops", "bytes"]) call.get(key).count();
  }
  const { entry, inputs, outputs, flops, plan } = node.value;
  return { entry: entry ?? ENTRY, batch, inputs, outputs, flops, plan };
}

function readPlans(root, memory) {
  const plans = [readPlan(root, memory)];
  root.get("further").optional((further) => {
    if (further.items().length >= MOST_PLANS) further.refuse(`at most ${MOST_PLANS - 1} plans`);
    for (const node of further.items()) plans.push(readPlan(node, memory));
  });
  return plans;
}

function checkStates(node, plans, memory) {
  checkTensors(node, memory);
  const names = new Set(plans.flatMap(({ inputs }) => inputs.map(({ name }) => name)));
  for (const state of node.items()) {
    if (names.has(state.get("name").value)) state.get("name").refuse("a name that no input has");
    if (state.get("output").text() === "") state.get("output").refuse("a name");
  }
}

function checkPreprocess(node) {
  node.get("kind").choice("image");
  const crop = node.get("crop");
  const sides = (Array.isArray(crop.value) ? crop.items() : [crop, crop]).map((side) => side.count(MOST_PIXELS));
  if (sides.length !== 2 || sides.includes(0)) crop.refuse("one or two sides of at least 1 pixel");
  node.get("resize").optional((resize) => {
    if (resize.count(MOST_PIXELS) < Math.max(...sides)) resize.refuse("at least the side of the crop");
  });
  node.get("interpolation").choice("nearest", "bilinear", "bicubic", "lanczos");
  node.get("layout").choice("NCHW", "NHWC");
  node.get("scale").number();
  const channels = CHANNELS[node.get("color").choice(...Object.keys(CHANNELS))];
  for (const each of [node.get("mean"), node.get("std")]) {
    each.items().forEach((value) => value.number());
    if (each.value.length !== channels) each.refuse("one number for each channel");
  }
  if (node.get("std").value.includes(0)) node.get("std").refuse("numbers other than 0");
}

function checkTraining(node, plans) {
  for (const key of ["loss", "optimizer"]) node.get(key).text();
  const batch = node.get("batch").count(MOST_BATCH);
  if (node.get("least").count(batch) === 0) node.get("least").refuse("1 or more");
  node.get("partial").flag();
  for (const key of ["top_k", "classes"]) node.get(key).count();
  for (const tensor of node.get("fixed").items()) {
    tensor.get("name").text();
    tensor.get("sha256").digest();
  }
  const scalars = (tensors, dtypes) =>
    Object.entries(dtypes).every(([name, dtype]) => tensors.some((one) => one.name === name && one.dtype === dtype && one.shape.length === 0));
  for (const entry of ["step", "evaluate", "predict"]) {
    const plan = plans.find((one) => one.entry === entry);
    if (!plan) node.refuse("the entries step, evaluate and predict");
    if (entry === "predict") continue;
    const told = { loss: "float64", status: "int32", ranked: "int64", correct: "int64", in_top_k: "int64" };
    const good = plan.inputs.some(({ name }) => name === "target") && scalars(plan.inputs, { rows: "int64" }) && scalars(plan.outputs, told);
    if (!good) node.refuse("entries with a target, rows, loss, counts and status");
  }
  for (const { name, shape } of plans.flatMap(({ inputs }) => inputs)) {
    if (name !== "rows" && shape[0] !== batch) node.get("batch").refuse("the rows of every input");
  }
}

/** The metadata of a section's bytes. */
export function readMetadata(bytes) {
  const root = new Node(parse(bytes), "metadata");
  const abi = root.get("abi").count(ADDRESS_SPACE - 1);
  if (abi === 0) root.get("abi").refuse("1 or more");
  check(abi <= ABI, "unsupported_operation", `the module has graph ABI ${abi}; expected at most ${ABI}`);
  root.get("producer").text();
  const [model, memory, weights, options] = ["model", "memory", "weights", "options"].map((key) => root.get(key));
  for (const key of ["name", "format", "sha256"]) model.get(key).text();
  model.get("opset").optional((opset) => opset.count());
  const whole = memory.get("bytes").count(ADDRESS_SPACE);
  if (memory.get("weights").count(whole) + memory.get("workspace").count(whole) > whole) memory.refuse("weights and workspace within the memory");
  const plans = readPlans(root, whole);
  root.get("states").optional((states) => checkStates(states, plans, whole));
  const operators = root.get("operators");
  for (const kind of Object.keys(operators.object())) operators.get(kind).count();
  root.get("parameters").count();
  weights.get("mode").choice("embed", "file");
  weights.get("bytes").count(memory.get("weights").value);
  weights.get("sha256").digest();
  options.get("simd").choice("128", "relaxed", "off", "baseline", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni");
  options.get("opt_level").count();
  options.get("threads").optional((threads) => {
    if (threads.count(MOST_THREADS) === 0) threads.refuse("1 or more");
  });
  root.get("preprocess").optional(checkPreprocess);
  root.get("training").optional((training) => checkTraining(training, plans));
  root.get("labels").optional((labels) => labels.items().forEach((label) => label.text()));
  return { ...root.value, states: root.value.states ?? [], plans };
}
