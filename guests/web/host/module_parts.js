// A module's bytes taken apart, as cpp/graph/module_parts.cpp does it: its metadata, its code, and its large data, which the engine
// would keep a copy of beside the memory that they belong in. It knows nothing of what metadata says; the engine refuses sections
// that are unknown or out of order.
import { check, GraphError } from "./error.js";

const [CUSTOM, IMPORT, MEMORY, START, DATA] = [0, 2, 5, 8, 11]; // sections
const [MEMORY_KIND, BOUNDED, SHARED] = [2, 1, 2]; // of an import, and of its limits
const [ACTIVE, I32_CONST, END] = [0, 0x41, 0x0b];
const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const METADATA = "wasmgrad.graph";
const NUMBER_BYTES = 5; // of the longest number
const LARGE_BYTES = 65536; // constants of the code may stay where they are
const MOST_BYTES = 1 << 30; // of what is read here: a file may be sparse and name sections of any size

/** Reads from bytes. A number past their end, or of more than 32 bits, is NaN. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  byte() {
    return this.bytes[this.at++];
  }

  /** An unsigned LEB128 number. */
  number() {
    const [value] = this.#digits();
    return value < 2 ** 32 ? value : NaN;
  }

  /** Leaves out a name. */
  skipName() {
    const size = this.number();
    this.at += size;
  }

  /** A signed one. */
  signedNumber() {
    const [value, range] = this.#digits();
    const signed = value >= range / 2 ? value - range : value;
    return signed >= -(2 ** 31) && signed < 2 ** 31 ? signed : NaN;
  }

  #digits() {
    for (let [value, range] = [0, 128]; range <= 2 ** 35; range *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * (range / 128);
      if (byte < 0x80) return [value, range];
    }
    return [NaN, NaN];
  }
}

/** Reads a source until it has given too much. */
class Pieces {
  #source;
  #read = 0;

  constructor(source) {
    this.#source = source;
    this.size = source.size;
  }

  /** What is from `begin` on, up to `end`, or to the end of the source. */
  async bytes(begin, end) {
    const size = Math.min(end, this.size) - begin;
    this.#read += size;
    check(this.#read <= MOST_BYTES, "too_large", `the module has ${this.#read} bytes or more beside its large data; at most ${MOST_BYTES} are read`);
    return this.#source.bytes(begin, size);
  }

  async head(begin, end, size) {
    return new Reader(await this.bytes(begin, Math.min(begin + size, end)));
  }
}

function encoded(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return Uint8Array.of(...bytes, number);
}

/** {id, begin, end} of each section. */
async function listSections(module) {
  const header = await module.bytes(0, HEADER.length);
  check(HEADER.every((byte, i) => header[i] === byte), "invalid_encoding", "not a WebAssembly module, of version 1");
  const sections = [];
  for (let at = HEADER.length; at < module.size; at = sections.at(-1).end) {
    const reader = await module.head(at, module.size, 1 + NUMBER_BYTES);
    const [id, size] = [reader.byte(), reader.number()];
    const begin = at + reader.at;
    check(begin + size <= module.size, "invalid_encoding", `not a whole WebAssembly module: section ${sections.length} runs past the end of its ${module.size} bytes`);
    sections.push({ id, begin, end: begin + size });
  }
  return sections;
}

function nameOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new GraphError("invalid_encoding", "not a valid WebAssembly module: the name of a custom section is not UTF-8");
  }
}

/** The bytes of the one custom section that has the metadata. */
async function findMetadata(module, sections) {
  const found = [];
  for (const { begin, end } of sections.filter(({ id }) => id === CUSTOM)) {
    const reader = await module.head(begin, end, NUMBER_BYTES);
    const size = reader.number();
    const at = begin + reader.at;
    check(at + size <= end, "invalid_encoding", "not a valid WebAssembly module: the name of a custom section runs past its end");
    if (nameOf(await module.bytes(at, at + size)) === METADATA) found.push({ begin: at + size, end });
  }
  check(found.length === 1, "invalid_encoding", `not a graph module: it has ${found.length} custom sections ${METADATA}; expected one`);
  return module.bytes(found[0].begin, found[0].end);
}

/**
 * The data section without segments of `least` bytes and more, in pieces, and these as {address, offset, size}. Nothing when a segment has another
 * form than those of an ordinary linker (active, in memory 0, at a constant address, not before the end of the one before it), or is
 * malformed.
 */
async function splitData(module, { begin, end }, least) {
  const start = await module.head(begin, end, NUMBER_BYTES);
  const count = start.number();
  const [pieces, data] = [[encoded(count)], []];
  let [at, free] = [begin + start.at, 0];
  for (let i = 0; i < count; i++) {
    const head = await module.head(at, end, 3 + 2 * NUMBER_BYTES);
    if (head.byte() !== ACTIVE || head.byte() !== I32_CONST) return undefined;
    const number = head.signedNumber();
    if (Number.isNaN(number) || head.byte() !== END) return undefined;
    pieces.push(head.bytes.subarray(0, head.at));
    const size = head.number();
    const [address, offset] = [number >>> 0, at + head.at];
    at = offset + size;
    if (!(at <= end) || address < free) return undefined;
    free = address + size;
    const large = size >= least;
    if (large) data.push({ address, offset, size });
    pieces.push(...(large ? [encoded(0)] : [encoded(size), await module.bytes(offset, at)]));
  }
  return at === end ? { pieces, data } : undefined;
}

/** The pages of a shared memory that is imported. Refuses a memory that can grow, or is none of 32 bits. */
async function sharedPages(module, section, imported) {
  const own = new Reader(section ? await module.bytes(section.begin, section.end) : [0]);
  const others = new Reader(imported ? await module.bytes(imported.begin, imported.end) : [0]);
  const [defined, shared] = [own.number(), others.number()];
  if (shared > 0) {
    others.skipName();
    others.skipName();
    check(shared === 1 && others.byte() === MEMORY_KIND && defined === 0, "invalid_encoding", "not a graph module: it imports something else than its one memory");
  }
  const [reader, kind] = shared > 0 ? [others, BOUNDED | SHARED] : [own, BOUNDED];
  const fixed = (shared > 0 || defined === 1) && reader.number() === kind;
  const pages = reader.number();
  check(fixed && pages === reader.number(), "invalid_encoding", "not a graph module: its memory is not of one fixed size");
  return shared > 0 ? pages : undefined;
}

/**
 * `metadata`: the bytes of that section; `code`: the module without custom sections, its large data segments emptied; `data`: where
 * these are in the source and where they go in the memory before anything runs. In a module that starts by itself data stays. Of a
 * module that imports its memory, of `pages`, all data is taken out: each of its instances would write it again.
 */
export async function takeApart(source) {
  const module = new Pieces(source);
  const sections = await listSections(module);
  const metadata = await findMetadata(module, sections);
  const [own, imported] = [MEMORY, IMPORT].map((kind) => sections.find(({ id }) => id === kind));
  const pages = await sharedPages(module, own, imported);
  const least = pages === undefined ? LARGE_BYTES : 1;
  const starts = sections.some(({ id }) => id === START);
  const pieces = [Uint8Array.from(HEADER)];
  const data = [];
  for (const section of sections.filter(({ id }) => id !== CUSTOM)) {
    const split = section.id === DATA && !starts ? await splitData(module, section, least) : undefined;
    const stays = section.id === DATA && !split && pages !== undefined;
    check(!stays, "invalid_encoding", "not a graph module: its data is not as an ordinary linker lays it out");
    const contents = split ? split.pieces : [await module.bytes(section.begin, section.end)];
    data.push(...(split?.data ?? []));
    pieces.push(Uint8Array.of(section.id), encoded(contents.reduce((sum, piece) => sum + piece.length, 0)), ...contents);
  }
  return { metadata, pages, code: new Uint8Array(await new Blob(pieces).arrayBuffer()), data };
}
