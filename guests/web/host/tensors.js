// Element types, and typed arrays over a module's memory, whose addresses are checked before they are used.
import { check, GraphError } from "./error.js";

/** The typed array of each dtype. */
export const ARRAYS = {
  bool: Uint8Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
  uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, float32: Float32Array, float64: Float64Array,
  float16: Uint16Array, bfloat16: Uint16Array, // the raw bits
};

/** `size` elements at an address of the memory; `what` names in the error who told it. */
export function viewAt(memory, type, address, size, what) {
  const { buffer } = memory;
  const inside = address % type.BYTES_PER_ELEMENT === 0 && address + size * type.BYTES_PER_ELEMENT <= buffer.byteLength;
  check(inside, "invalid_encoding", `${what} is ${address}: no place for ${size} x ${type.name} in ${buffer.byteLength} bytes`);
  return new type(buffer, address, size);
}

/** The view of the tensor that `name` is; `side` is what all of them are. */
export function viewNamed(side, tensors, views, name) {
  const view = views[tensors.findIndex((tensor) => tensor.name === name)];
  if (!view) throw new GraphError("invalid_argument", `there is no ${side} "${name}"; the ${side}s are ${tensors.map((tensor) => tensor.name)}`);
  return view;
}

/** The view of the input that `name` is, when `array` fits it. It is called in every run: only failures make messages. */
export function viewFor(inputs, views, name, array) {
  const view = viewNamed("input", inputs, views, name);
  if (array?.constructor === view.constructor && array.length === view.length) return view;
  const described = (a) => `${a?.constructor.name}(${a?.length})`;
  const { dtype, shape } = inputs.find((input) => input.name === name);
  const message = `input "${name}": expected ${dtype} [${shape}] as ${described(view)}, got ${described(array)}`;
  throw new GraphError("invalid_argument", message);
}
