// A module's bytes taken apart: its code, and its large data, which the engine would keep a copy of beside the memory that they
// belong in. It knows nothing of graphs.

const [START, DATA] = [8, 11]; // sections
const [ACTIVE, I32_CONST, END] = [0, 0x41, 0x0b];
const HEADER_BYTES = 8;
const NUMBER_BYTES = 5; // of the longest number
const LARGE_BYTES = 65536; // constants of the code may stay where they are

/** Reads numbers from bytes; past their end, `at` is beyond it. */
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
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (!(byte >= 0x80)) return value;
    }
  }

  /** A signed LEB128 number of 32 bits. */
  signedNumber() {
    let value = 0;
    for (let shift = 0; ; ) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      shift += 7;
      if (!(byte >= 0x80)) return byte & 0x40 && shift < 32 ? value | (-1 << shift) : value;
    }
  }
}

function encoded(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return Uint8Array.of(...bytes, number);
}

/** {id, at, begin, end} of each section, up to the first that runs past the end. */
async function listSections(source) {
  const sections = [];
  for (let at = HEADER_BYTES; at < source.size; at = sections.at(-1).end) {
    const reader = new Reader(await source.bytes(at, 1 + NUMBER_BYTES));
    const [id, size] = [reader.byte(), reader.number()];
    const begin = at + reader.at;
    if (begin + size > source.size) break;
    sections.push({ id, at, begin, end: begin + size });
  }
  return sections;
}

/**
 * The data section without its large segments, in pieces, and these as {address, offset, size}. Nothing when a segment has another
 * form than those of an ordinary linker (active, in memory 0, at a constant address), or is malformed.
 */
async function splitData(source, { begin, end }) {
  const start = new Reader(await source.bytes(begin, NUMBER_BYTES));
  const count = start.number();
  const [pieces, data] = [[start.bytes.subarray(0, start.at)], []];
  let at = begin + start.at;
  for (let i = 0; i < count; i++) {
    const head = new Reader(await source.bytes(at, 3 + 2 * NUMBER_BYTES));
    if (head.byte() !== ACTIVE || head.byte() !== I32_CONST) return undefined;
    const address = head.signedNumber() >>> 0;
    if (head.byte() !== END) return undefined;
    pieces.push(head.bytes.subarray(0, head.at));
    const size = head.number();
    const offset = at + head.at;
    at = offset + size;
    if (at > end) return undefined;
    const large = size >= LARGE_BYTES;
    if (large) data.push({ address, offset, size });
    pieces.push(...(large ? [encoded(0)] : [encoded(size), await source.bytes(offset, size)]));
  }
  return at === end ? { pieces, data } : undefined;
}

/**
 * `code`: the module, its large data segments emptied; `data`: where these are in the source and where they go in the memory before
 * anything runs. What is no whole module stays as it is, for the engine to refuse, and so does one that starts by itself.
 */
export async function takeApart(source) {
  const sections = await listSections(source);
  const old = sections.find(({ id }) => id === DATA);
  const whole = sections.at(-1)?.end === source.size && !sections.some(({ id }) => id === START);
  const split = whole && old ? await splitData(source, old) : undefined;
  if (!split) return { code: await source.bytes(0, source.size), data: [] };
  const size = split.pieces.reduce((sum, piece) => sum + piece.length, 0);
  const pieces = [
    await source.bytes(0, old.at), Uint8Array.of(DATA), encoded(size), ...split.pieces,
    await source.bytes(old.end, source.size - old.end),
  ];
  return { code: new Uint8Array(await new Blob(pieces).arrayBuffer()), data: split.data };
}
