// What a guest in JavaScript needs besides the training interface: arguments, the console, the files that it
// was granted, and tensors from arrays. QuickJS itself has none of these.
import { getArguments } from 'wasi:cli/environment@0.2.0';
import { getStderr } from 'wasi:cli/stderr@0.2.0';
import { getStdout } from 'wasi:cli/stdout@0.2.0';
import { getDirectories } from 'wasi:filesystem/preopens@0.2.0';

const BLOCK = 1 << 20; // bytes of a file that are read or written at once
const ARRAYS = {
  f32: Float32Array,
  f64: Float64Array,
  u8: Uint8Array,
  i32: Int32Array,
  i64: BigInt64Array,
};

export function args() {
  return getArguments().slice(1);
}

export function encodeText(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
}

export function decodeText(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 8192) {
    parts.push(String.fromCharCode.apply(null, bytes.subarray(at, at + 8192)));
  }
  return decodeURIComponent(escape(parts.join('')));
}

export function print(...values) {
  getStdout().blockingWriteAndFlush(encodeText(`${values.join(' ')}\n`));
}

export function warn(...values) {
  getStderr().blockingWriteAndFlush(encodeText(`${values.join(' ')}\n`));
}

// The granted directory that holds a path, and the path inside it.
function locate(path) {
  let best = null;
  for (const [directory, name] of getDirectories()) {
    const start = name === '.' || name.endsWith('/') ? name : `${name}/`;
    const inside = name === '.' && !path.startsWith('/') ? path : path.startsWith(start) ? path.slice(start.length) : null;
    if (inside !== null && (best === null || start.length > best.start.length)) best = { directory, inside, start };
  }
  if (best === null) throw new Error(`${path}: no directory with it was granted (--dir HOST:GUEST)`);
  return best;
}

function open({ directory, inside }, path, how, flags) {
  try {
    return directory.openAt({ symlinkFollow: true }, inside, how, flags);
  } catch (error) {
    throw new Error(`${path}: ${error.payload}`);
  }
}

export function readBytes(path) {
  const file = open(locate(path), path, {}, { read: true });
  const blocks = [];
  let size = 0;
  for (;;) {
    const [block, isEnd] = file.read(BLOCK, size);
    if (isEnd || block.length === 0) break;
    blocks.push(block);
    size += block.length;
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const block of blocks) {
    bytes.set(block, at);
    at += block.length;
  }
  return bytes;
}

export function readText(path) {
  return decodeText(readBytes(path));
}

export function writeBytes(path, bytes) {
  const place = locate(path);
  const part = `${place.inside}.part`;
  const file = open({ ...place, inside: part }, path, { create: true, truncate: true }, { write: true });
  for (let at = 0; at < bytes.length; ) {
    at += Number(file.write(bytes.subarray(at, at + BLOCK), at));
  }
  place.directory.renameAt(part, place.directory, place.inside);
}

export function tensor(type, dims, values, name = '') {
  const array = ARRAYS[type].from(values);
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (array.length !== count) throw new Error(`a tensor of ${dims.join('x')} has ${count} elements, not ${array.length}`);
  return { name, tensor: { dims, type, data: new Uint8Array(array.buffer) } };
}

// What the entry point does with an exception of main(): the owner's wish to stop is no failure.
export function end(error) {
  const refusal = error?.payload;
  if (refusal?.code === 'interrupted') return warn(refusal.message);
  warn(`error: ${refusal?.message ?? error?.message ?? error}`);
  if (refusal === undefined && error?.stack) warn(error.stack);
  throw undefined;
}
