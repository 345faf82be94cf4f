// Where a module or its weights come from, read piece by piece: memory, a file in Node, a Blob, an answer of a server while it
// arrives. It knows nothing of what the bytes mean.
import { check, GraphError } from "./error.js";

export const IN_NODE = Boolean(globalThis.process?.versions?.node);
const PIECE = 1 << 24; // bytes that are in flight at a time

/** Read-only bytes of a known `size`. */
class Source {
  constructor(size) {
    this.size = size;
  }

  /** What begins at `offset`, or less when the bytes end before. */
  async bytes(offset, size) {
    const found = new Uint8Array(Math.max(0, Math.min(size, this.size - offset)));
    await this.read(found, offset);
    return found;
  }

  /** Fills a Uint8Array, which may be a view of a module's memory: nothing else ever holds all of it. */
  async read(view, offset) {
    for (let at = 0; at < view.length; ) {
      const count = await this.readPiece(view.subarray(at, at + PIECE), offset + at);
      check(count > 0, "invalid_encoding", `the bytes end at ${offset + at}, expected ${this.size}`);
      at += count;
    }
  }

  async close() {}
}

class MemorySource extends Source {
  constructor(bytes) {
    super(bytes.length);
    this.contents = bytes;
  }

  async readPiece(view, offset) {
    view.set(this.contents.subarray(offset, offset + view.length));
    return view.length;
  }
}

class BlobSource extends Source {
  constructor(blob) {
    super(blob.size);
    this.blob = blob;
  }

  async readPiece(view, offset) {
    view.set(new Uint8Array(await this.blob.slice(offset, offset + view.length).arrayBuffer()));
    return view.length;
  }
}

class FileSource extends Source {
  constructor(file, size) {
    super(size);
    this.file = file;
  }

  async readPiece(view, offset) {
    return (await this.file.read(view, 0, view.length, offset)).bytesRead;
  }

  close() {
    return this.file.close();
  }
}

/**
 * Bytes that are read while they arrive. What is looked at is kept, and so is what is passed over; what is copied into a memory is
 * not, which is why that must be done last, and in order.
 */
class StreamSource extends Source {
  #reader;
  #kept = []; // {begin, bytes} without gaps from 0 on, until something is not kept
  #arrived = 0;
  #rest = new Uint8Array(0); // of the last piece that arrived

  constructor(stream, size) {
    super(size);
    this.#reader = stream.getReader();
  }

  async bytes(offset, size) {
    const end = Math.min(offset + size, this.size);
    while (this.#arrived < end) this.#keep(await this.#next(this.size));
    return super.bytes(offset, size);
  }

  async readPiece(view, offset) {
    const kept = this.#kept.findLast(({ begin }) => begin <= offset);
    const from = kept ? offset - kept.begin : 0;
    if (kept && from < kept.bytes.length) {
      const part = kept.bytes.subarray(from, from + view.length);
      view.set(part);
      return part.length;
    }
    while (this.#arrived < offset) this.#keep(await this.#next(offset - this.#arrived));
    check(this.#arrived === offset, "runtime_error", `the bytes at ${offset} have been read already`);
    const piece = await this.#next(view.length);
    view.set(piece);
    return piece.length;
  }

  close() {
    return this.#reader.cancel().catch(() => {}); // what failed has been told
  }

  #keep(bytes) {
    check(bytes.length > 0, "invalid_encoding", `the bytes end at ${this.#arrived}, expected ${this.size}`);
    this.#kept.push({ begin: this.#arrived - bytes.length, bytes });
  }

  /** At most `most` bytes of those that come next; none at their end. */
  async #next(most) {
    if (this.#rest.length === 0) this.#rest = (await this.#read()).value ?? this.#rest;
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    this.#arrived += piece.length;
    return piece;
  }

  async #read() {
    try {
      return await this.#reader.read();
    } catch (error) {
      throw new GraphError("runtime_error", `the bytes end at ${this.#arrived} of ${this.size}: ${error.message}`);
    }
  }
}

/** A server that says how many bytes will come, as they are, can be read meanwhile. */
async function ofResponse(response) {
  const size = Number(response.headers.get("content-length") ?? NaN);
  const plain = !response.headers.has("content-encoding") && Number.isSafeInteger(size) && response.body;
  return plain ? new StreamSource(response.body, size) : new BlobSource(await response.blob());
}

async function openFile(path) {
  const { open } = await import("node:fs/promises");
  const file = await open(path);
  let source;
  try {
    const state = await file.stat();
    source = state.isFile() ? new FileSource(file, state.size) : new MemorySource(await file.readFile()); // a pipe
  } finally {
    if (!(source instanceof FileSource)) await file.close();
  }
  return source;
}

/** Of a path, URL, File or other Blob, ArrayBuffer or typed array. Whoever opens it closes it. */
export async function openSource(from) {
  if (from instanceof ArrayBuffer) return new MemorySource(new Uint8Array(from));
  if (ArrayBuffer.isView(from)) return new MemorySource(new Uint8Array(from.buffer, from.byteOffset, from.byteLength));
  if (from instanceof Blob) return new BlobSource(from);
  try {
    if (IN_NODE && !/^https?:/.test(from)) return await openFile(from);
    const response = await fetch(from);
    check(response.ok, "not_found", `${response.status} ${response.statusText}`);
    return await ofResponse(response);
  } catch (error) {
    throw new GraphError("not_found", `${from}: ${error.message}`);
  }
}
