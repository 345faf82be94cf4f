// What a graph module says about itself, checked as cpp/graph/metadata.cpp checks it: whoever made the module may have lied. Both
// give the same verdict on each module of tests/graph_modules.
import { check, GraphError } from "./error.js";
import { ARRAYS } from "./tensors.js";

const ABI = 1;
const ADDRESS_SPACE = 2 ** 32;
const MOST_BYTES = 64 << 20;
const MOST_LEVELS = 64;
const MOST_DIMENSIONS = 64;
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

function checkTensors(node, memory) {
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
  }
}

function checkStates(node, inputs, memory) {
  checkTensors(node, memory);
  const names = new Set(inputs.items().map((input) => input.get("name").value));
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
  checkTensors(root.get("inputs"), whole);
  checkTensors(root.get("outputs"), whole);
  root.get("states").optional((states) => checkStates(states, root.get("inputs"), whole));
  const operators = root.get("operators");
  for (const kind of Object.keys(operators.object())) operators.get(kind).count();
  for (const key of ["parameters", "flops"]) root.get(key).count();
  weights.get("mode").choice("embed", "file");
  weights.get("bytes").count(memory.get("weights").value);
  if (!/^[0-9a-f]{64}$/.test(weights.get("sha256").text())) weights.get("sha256").refuse("64 hexadecimal digits in lower case");
  options.get("simd").choice("128", "relaxed", "off", "baseline", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni");
  options.get("opt_level").count();
  for (const call of root.get("plan").items()) {
    for (const key of ["name", "kernel"]) call.get(key).text();
    for (const key of ["flops", "bytes"]) call.get(key).count();
  }
  root.get("preprocess").optional(checkPreprocess);
  root.get("labels").optional((labels) => labels.items().forEach((label) => label.text()));
  return { ...root.value, states: root.value.states ?? [] };
}
