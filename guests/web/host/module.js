// Graph modules in the engine: compiled, what they say about themselves checked, their data put in place.
import { check, GraphError } from "./error.js";
import { Instance } from "./instance.js";
import { takeApart } from "./module_parts.js";
import { IN_NODE } from "./source.js";
import { ARRAYS, viewAt } from "./tensors.js";

const ABI = 1;

/** {metadata, instance}; nothing has run in it yet. */
export async function instantiate(source) {
  const { code, data } = await takeApart(source);
  const module = await compile(code).catch((error) => check(false, "invalid_encoding", error.message));
  const metadata = metadataOf(module);
  check(WebAssembly.Module.imports(module).length === 0, "invalid_encoding", "a graph module imports nothing");
  const { exports } = await WebAssembly.instantiate(module);
  check(exports.memory instanceof WebAssembly.Memory, "invalid_encoding", "not a graph module: it does not export its memory");
  for (const { address, offset, size } of data) {
    await source.read(viewAt(exports.memory, Uint8Array, address, size, "the address of a data segment"), offset);
  }
  return { metadata, instance: new Instance(exports) };
}

async function compile(code) {
  if (IN_NODE && !WebAssembly.validate(code)) { // Node 20 has relaxed SIMD behind a flag
    (await import("node:v8")).setFlagsFromString("--experimental-wasm-relaxed-simd");
  }
  return WebAssembly.compile(code);
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
