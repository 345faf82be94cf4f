// Runs graph modules compiled by wasmgrad, in Node and in browsers:
//
//   const graph = await loadGraph("model.wasm");              // a path, URL, File, ArrayBuffer or typed array
//   const { scores } = graph.run({ input: new Float32Array(3 * 224 * 224) });
//
// It knows nothing of pictures. Every address that a module gives is checked before it is used.

const ABI = 1;
const IN_NODE = Boolean(globalThis.process?.versions?.node);
const ARRAYS = {
  bool: Uint8Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
  uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, float32: Float32Array, float64: Float64Array,
  float16: Uint16Array, bfloat16: Uint16Array, // the raw bits
};

/** Whatever can go wrong; `kind` is a stable name for programs. */
export class GraphError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

function check(condition, kind, message) {
  if (!condition) throw new GraphError(kind, message);
}

/** Loads and instantiates a module. `weights`: where they are, for a module whose weights are in a file of their own. */
export async function loadGraph(source, { weights } = {}) {
  const bytes = await bytesOf(source);
  const module = await compile(bytes).catch((error) => check(false, "invalid_encoding", error.message));
  const metadata = metadataOf(module);
  check(WebAssembly.Module.imports(module).length === 0, "invalid_encoding", "a graph module imports nothing");
  const graph = new Graph(metadata, (await WebAssembly.instantiate(module)).exports);
  if (metadata.weights.mode === "file") await graph.fillWeights(await bytesOf(weights));
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
    const places = Object.entries(feeds).map(([name, array]) => [this.#viewFor(name, array), array]);
    for (const [view, array] of places) view.set(array);
    this.execute();
    return Object.fromEntries(this.outputs.map(({ name }, i) => [name, this.views.outputs[i].slice()]));
  }

  /** Runs on what the input views hold. */
  execute() {
    const code = this.#invoke("graph_run");
    check(code === 0, "runtime_error", `graph_run() failed with code ${code}`);
  }

  /** Runs one call of `metadata.plan`, for profiling. */
  call(index) {
    const code = this.#invoke("graph_call", index);
    check(code === 0, "runtime_error", `graph_call(${index}) failed with code ${code}`);
  }

  /** Puts the weights in place, when they are those of this model. Without HTTPS a browser can only compare their length. */
  async fillWeights(bytes) {
    const expected = this.metadata.weights;
    check(bytes.length === expected.bytes, "invalid_encoding", `the weights have ${bytes.length} bytes, expected ${expected.bytes}`);
    const digest = await globalThis.crypto?.subtle?.digest("SHA-256", bytes);
    const hex = digest && Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    check(!hex || hex === expected.sha256, "invalid_encoding", `the weights are of another model: their SHA-256 is ${hex}`);
    this.#view(Uint8Array, bytes.length, "graph_weights").set(bytes);
  }

  #invoke(name, ...args) {
    try {
      return this.#exports[name](...args);
    } catch (error) { // a TypeError: it has other parameters, or is no function
      throw new GraphError(error instanceof TypeError ? "invalid_encoding" : "runtime_error", `${name}(${args}) failed: ${error.message}`);
    }
  }

  #views(side, tensors) {
    const more = this.#invoke(`graph_${side}`, tensors.length) !== 0;
    check(!more, "invalid_encoding", `the module has more ${side}s than the ${tensors.length} of its metadata`);
    return tensors.map(({ dtype, shape }, i) => this.#view(ARRAYS[dtype], shape.reduce((a, b) => a * b, 1), `graph_${side}`, i));
  }

  #view(type, size, name, ...args) {
    const address = this.#invoke(name, ...args) >>> 0;
    const { buffer } = this.#exports.memory;
    const inside = address > 0 && address % type.BYTES_PER_ELEMENT === 0 && address + size * type.BYTES_PER_ELEMENT <= buffer.byteLength;
    check(inside, "invalid_encoding", `${name}(${args}) is ${address}: no place for ${size} x ${type.name} in ${buffer.byteLength} bytes`);
    return new type(buffer, address, size);
  }

  #viewFor(name, array) {
    const index = this.inputs.findIndex((input) => input.name === name);
    check(index >= 0, "invalid_argument", `there is no input "${name}"; the inputs are ${this.inputs.map((input) => input.name)}`);
    const [view, { dtype, shape }] = [this.views.inputs[index], this.inputs[index]];
    const described = (a) => `${a?.constructor.name}(${a?.length})`;
    const fits = array?.constructor === view.constructor && array.length === view.length;
    check(fits, "invalid_argument", `input "${name}": expected ${dtype} [${shape}] as ${described(view)}, got ${described(array)}`);
    return view;
  }
}

function metadataOf(module) {
  const [section] = WebAssembly.Module.customSections(module, "wasmgrad.graph");
  check(section, "invalid_encoding", "not a graph module: it has no section wasmgrad.graph");
  let metadata;
  try {
    metadata = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(section));
  } catch (error) {
    throw new GraphError("invalid_encoding", `the metadata is not JSON: ${error.message}`);
  }
  check(!(metadata?.abi > ABI), "unsupported_operation", `the module has graph ABI ${metadata?.abi}; expected at most ${ABI}`);
  const extents = (shape) => Array.isArray(shape) && shape.every((extent) => Number.isInteger(extent) && extent >= 0);
  const tensors = (list) => Array.isArray(list) && list.every((t) => t?.name && Object.hasOwn(ARRAYS, t.dtype) && extents(t.shape));
  const sound = metadata?.abi === ABI && tensors(metadata.inputs) && tensors(metadata.outputs) && Number.isInteger(metadata.weights?.bytes);
  check(sound, "invalid_encoding", "the metadata is not that of a graph module");
  return metadata;
}

async function compile(bytes) {
  if (IN_NODE && !WebAssembly.validate(bytes)) { // Node 20 has relaxed SIMD behind a flag
    (await import("node:v8")).setFlagsFromString("--experimental-wasm-relaxed-simd");
  }
  return WebAssembly.compile(bytes);
}

async function bytesOf(source) {
  check(source, "invalid_argument", "the module's weights are in a file of their own: pass { weights }");
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  try {
    if (IN_NODE && !/^https?:/.test(source)) return new Uint8Array(await (await import("node:fs/promises")).readFile(source));
    const response = await fetch(source);
    check(response.ok, "not_found", `${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new GraphError("not_found", `${source}: ${error.message}`);
  }
}
