// Tensors by name, {dtype, shape, data}, as the bytes of a safetensors file and back. Offsets of a file are checked before they are used.
import { check, GraphError } from "./error.js";
import { ARRAYS } from "./tensors.js";

const NAMES = {
  float16: "F16", bfloat16: "BF16", float32: "F32", float64: "F64", uint8: "U8", int8: "I8", int16: "I16", uint16: "U16", int32: "I32",
  uint32: "U32", int64: "I64", uint64: "U64", bool: "BOOL",
};
const DTYPES = Object.fromEntries(Object.entries(NAMES).map(([dtype, name]) => [name, dtype]));
const MOST_HEADER = 100 << 20; // as the format has it
const ALIGNMENT = 8;

/** The bytes of a file with these tensors. */
export function writeTensors(tensors) {
  const header = {};
  let end = 0;
  const names = Object.keys(tensors).sort((a, b) => ARRAYS[tensors[b].dtype].BYTES_PER_ELEMENT - ARRAYS[tensors[a].dtype].BYTES_PER_ELEMENT);
  for (const name of names) {
    const { dtype, shape, data } = tensors[name];
    header[name] = { dtype: NAMES[dtype], shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / ALIGNMENT) * ALIGNMENT;
  const file = new Uint8Array(ALIGNMENT + length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.fill(0x20, ALIGNMENT, ALIGNMENT + length).set(text, ALIGNMENT);
  for (const name of names) {
    const { data } = tensors[name];
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), ALIGNMENT + length + header[name].data_offsets[0]);
  }
  return file;
}

/** The tensors of a file's bytes: copies. */
export function readTensors(bytes) {
  const file = new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
  const refuse = (why) => {
    throw new GraphError("invalid_encoding", `not a safetensors file: ${why}`);
  };
  if (file.length < ALIGNMENT) refuse("it is too short");
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  if (length > MOST_HEADER || ALIGNMENT + length > file.length) refuse("its header is longer than the file");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file.subarray(ALIGNMENT, ALIGNMENT + length)));
  } catch (error) {
    refuse(error.message);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) refuse("its header is no object");
  const data = file.subarray(ALIGNMENT + length);
  const tensors = { __proto__: null };
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") tensors[name] = tensorOf(name, entry, data);
  }
  return tensors;
}

function tensorOf(name, entry, data) {
  const dtype = DTYPES[entry?.dtype];
  const { shape, data_offsets: place } = entry ?? {};
  const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
  const sound = dtype !== undefined && [shape, place].every((list) => Array.isArray(list) && list.every(isCount)) && place.length === 2;
  check(sound, "invalid_encoding", `not a safetensors file: the tensor "${name}" is not described as it should be`);
  const type = ARRAYS[dtype];
  const [begin, end] = place;
  const fits = begin <= end && end <= data.length && shape.reduce((a, b) => a * b, 1) * type.BYTES_PER_ELEMENT === end - begin;
  check(fits, "invalid_encoding", `not a safetensors file: the tensor "${name}" is not within it`);
  return { dtype, shape, data: new type(data.slice(begin, end).buffer) };
}
