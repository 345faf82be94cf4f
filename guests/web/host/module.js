// Graph modules in the engine: compiled, what they say about themselves checked, their data put in place.
import { check, GraphError } from "./error.js";
import { Instance } from "./instance.js";
import { readMetadata } from "./metadata.js";
import { takeApart } from "./module_parts.js";
import { selects } from "./plans.js";
import { IN_NODE } from "./source.js";
import { viewAt } from "./tensors.js";

const PARAMETERS = { _initialize: 0, graph_input: 1, graph_output: 1, graph_weights: 0, graph_run: 0, graph_call: 1 };
const OF_STATES = { graph_state: 1 }; // where the metadata has any
const OF_PLANS = { graph_select: 2 }; // where there is something to choose
const OF_THREADS = { graph_thread: 1, graph_stop: 0, graph_spin: 0 };

/** {metadata, module, memory, instance}; nothing has run in it yet. A memory for several threads is given to the module. */
export async function instantiate(source) {
  const parts = await takeApart(source);
  const metadata = readMetadata(parts.metadata);
  const module = await compile(parts.code).catch((error) => check(false, "invalid_encoding", error.message));
  const shares = metadata.options.threads > 1;
  const imports = WebAssembly.Module.imports(module).map(({ module, name, kind }) => `${kind} ${module} ${name}`);
  const expected = shares ? "memory env memory" : "";
  check(imports.join() === expected, "invalid_encoding", `not a graph module: its imports are "${imports}"; expected "${expected}"`);
  check((parts.pages !== undefined) === shares, "invalid_encoding", "not a graph module: threads share a memory, others have their own");
  const memory = shares ? allocate(parts.pages) : undefined;
  const { exports } = await start(module, shares ? { env: { memory } } : {});
  const expectedCounts = {
    ...PARAMETERS,
    ...(metadata.states.length > 0 ? OF_STATES : {}),
    ...(selects(metadata.plans) ? OF_PLANS : {}),
    ...(shares ? OF_THREADS : {}),
  };
  for (const [name, count] of Object.entries(expectedCounts)) {
    const found = exports[name];
    check(typeof found === "function", "invalid_encoding", `not a graph module: it does not export the function '${name}'`);
    check(found.length === count, "invalid_encoding", `not a graph module: ${name} has ${found.length} parameters; expected ${count}`);
  }
  check(exports.memory instanceof WebAssembly.Memory, "invalid_encoding", "not a graph module: it does not export the memory 'memory'");
  const { byteLength } = exports.memory.buffer;
  check(metadata.memory.bytes <= byteLength, "invalid_encoding", `metadata.memory.bytes is ${metadata.memory.bytes}; expected at most ${byteLength}`);
  for (const { address, offset, size } of parts.data) {
    await source.read(viewAt(exports.memory, Uint8Array, address, size, "the address of a data segment"), offset);
  }
  return { metadata, module, memory, instance: new Instance(exports) };
}

function allocate(pages) {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (error) {
    throw new GraphError("too_large", `no shared memory of ${pages} pages: ${error.message}`);
  }
}

async function compile(code) {
  if (IN_NODE && !WebAssembly.validate(code)) { // Node 20 has relaxed SIMD behind a flag
    (await import("node:v8")).setFlagsFromString("--experimental-wasm-relaxed-simd");
  }
  return WebAssembly.compile(code);
}

async function start(module, imports) {
  try {
    return await WebAssembly.instantiate(module, imports);
  } catch (error) { // no memory of that size, or data outside of it
    throw new GraphError(error instanceof RangeError ? "too_large" : "invalid_encoding", `cannot be instantiated: ${error.message}`);
  }
}
