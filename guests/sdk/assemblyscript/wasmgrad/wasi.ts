// What a guest needs of WASI: its arguments, its console, files in its preopened directories, and how it ends.

@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, bytes: usize): u32;
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(pointers: usize, buffer: usize): u32;
@external("wasi_snapshot_preview1", "fd_prestat_get")
declare function fd_prestat_get(fd: u32, prestat: usize): u32;
@external("wasi_snapshot_preview1", "fd_prestat_dir_name")
declare function fd_prestat_dir_name(fd: u32, path: usize, pathBytes: u32): u32;
@external("wasi_snapshot_preview1", "path_open")
declare function path_open(
  directory: u32, lookup: u32, path: usize, pathBytes: u32, open: u32, rights: u64, inherited: u64, flags: u32, fd: usize
): u32;
@external("wasi_snapshot_preview1", "path_rename")
declare function path_rename(
  fromDirectory: u32, from: usize, fromBytes: u32, toDirectory: u32, to: usize, toBytes: u32
): u32;
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: u32, vectors: usize, count: u32, read: usize): u32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, vectors: usize, count: u32, written: usize): u32;
@external("wasi_snapshot_preview1", "fd_close")
declare function fd_close(fd: u32): u32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: u32): void;

const SUCCESS: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const FIRST_PREOPEN: u32 = 3;
const RIGHTS_READ: u64 = (1 << 1) | (1 << 2) | (1 << 5) | (1 << 21); // fd_read, fd_seek, fd_tell, fd_filestat_get
const RIGHTS_WRITE: u64 = (1 << 2) | (1 << 5) | (1 << 6) | (1 << 21); // fd_seek, fd_tell, fd_write, fd_filestat_get
const OPEN_CREATE_TRUNCATE: u32 = (1 << 0) | (1 << 3);
const FOLLOW_LINKS: u32 = 1;

/** The arguments of the guest, without its own name. */
export function programArguments(): string[] {
  const sizes = new StaticArray<u32>(2);
  const start = changetype<usize>(sizes);
  if (args_sizes_get(start, start + 4) != SUCCESS) return [];
  const pointers = new StaticArray<u32>(sizes[0]);
  const buffer = new ArrayBuffer(sizes[1]);
  if (args_get(changetype<usize>(pointers), changetype<usize>(buffer)) != SUCCESS) return [];
  const all: string[] = [];
  for (let i = 1; i < pointers.length; ++i) {
    const end = i + 1 < pointers.length ? pointers[i + 1] : <u32>changetype<usize>(buffer) + sizes[1];
    all.push(String.UTF8.decodeUnsafe(pointers[i], end - pointers[i] - 1)); // without the NUL at its end
  }
  return all;
}

/** Writes a line to standard output. */
export function print(line: string): void {
  writeText(STDOUT, line + "\n");
}

/** Writes "error: " and the sentence to standard error, and ends the guest. */
export function fail(sentence: string, exitCode: u32 = 1): void {
  writeText(STDERR, "error: " + sentence + "\n");
  proc_exit(exitCode);
}

/** Writes the sentence alone to standard error, and ends the guest with exit code 130: the owner asked to stop. */
export function interrupt(sentence: string): void {
  writeText(STDERR, sentence + "\n");
  proc_exit(130);
}

/** Ends the guest. */
export function exit(code: u32): void {
  proc_exit(code);
}

/** What asc calls for a failed assertion: give it `--use abort=~lib/wasmgrad/wasi/abort`. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = (file === null ? "?" : file) + ":" + line.toString() + ":" + column.toString();
  fail((message === null ? "aborted" : message) + " (" + where + ")");
}

/** A number with this many digits after the point. */
export function fixed(value: f64, digits: i32): string {
  if (isNaN(value) || !isFinite(value)) return value.toString();
  const unit = <u64>Math.pow(10, digits);
  const scaled = <u64>Math.round(Math.abs(value) * <f64>unit);
  return (value < 0 ? "-" : "") + (scaled / unit).toString() + "." + (scaled % unit).toString().padStart(digits, "0");
}

/** An open file. */
export class File {
  private constructor(private readonly fd: u32) {}

  /** Opens a file to read from its beginning. Null: it cannot be opened. */
  static open(path: string): File | null {
    return File.at(path, 0, RIGHTS_READ);
  }

  /** Makes a file, or empties it, to write to it. Null: it cannot be made. */
  static create(path: string): File | null {
    return File.at(path, OPEN_CREATE_TRUNCATE, RIGHTS_WRITE);
  }

  private static at(path: string, open: u32, rights: u64): File | null {
    const place = Place.of(path);
    if (place === null) return null;
    const fd = new StaticArray<u32>(1);
    const relative = place.path;
    const errno = path_open(
      place.directory, FOLLOW_LINKS, changetype<usize>(relative), relative.byteLength, open, rights, 0, 0,
      changetype<usize>(fd)
    );
    return errno == SUCCESS ? new File(fd[0]) : null;
  }

  /** Fills `destination`. False: the file has fewer bytes left, or cannot be read. */
  read(destination: Uint8Array): bool {
    return transfer(this.fd, destination, fd_read);
  }

  /** All bytes that are left. Null: it cannot be read. */
  readAll(): Uint8Array | null {
    let bytes = new Uint8Array(1 << 16);
    let length = 0;
    const vector = new StaticArray<u32>(3); // address, length; bytes read
    const start = changetype<usize>(vector);
    while (true) {
      if (length == bytes.length) {
        const larger = new Uint8Array(2 * length);
        larger.set(bytes);
        bytes = larger;
      }
      vector[0] = <u32>bytes.dataStart + length;
      vector[1] = bytes.length - length;
      if (fd_read(this.fd, start, 1, start + 8) != SUCCESS) return null;
      if (vector[2] == 0) return bytes.subarray(0, length);
      length += vector[2];
    }
  }

  /** Writes all of `source`. False: it cannot be written. */
  write(source: Uint8Array): bool {
    return transfer(this.fd, source, fd_write);
  }

  /** False: what was written may not be there. */
  close(): bool {
    return fd_close(this.fd) == SUCCESS;
  }
}

/** Gives a file another name, in place of the file that has it. */
export function rename(from: string, to: string): bool {
  const old = Place.of(from);
  const place = Place.of(to);
  if (old === null || place === null) return false;
  const errno = path_rename(
    old.directory, changetype<usize>(old.path), old.path.byteLength,
    place.directory, changetype<usize>(place.path), place.path.byteLength
  );
  return errno == SUCCESS;
}

/** A path without what engines differ in: a leading "/" or "./", and a "/" at the end. "." is "". */
function plain(path: string): string {
  while (true) {
    if (path.startsWith("/")) path = path.substring(1);
    else if (path.startsWith("./")) path = path.substring(2);
    else break;
  }
  while (path.endsWith("/")) path = path.substring(0, path.length - 1);
  return path == "." ? "" : path;
}

/** A path as WASI has it: relative to a preopened directory. */
class Place {
  constructor(readonly directory: u32, readonly path: ArrayBuffer) {}

  /** The place of `path` in the preopened directory whose name is the longest that begins it. */
  static of(path: string): Place | null {
    const wanted = plain(path);
    let directory: u32 = 0;
    let longest = -1;
    const prestat = new StaticArray<u32>(2); // kind, length of the name
    for (let fd = FIRST_PREOPEN; fd_prestat_get(fd, changetype<usize>(prestat)) == SUCCESS; ++fd) {
      const bytes = new ArrayBuffer(prestat[1]);
      if (fd_prestat_dir_name(fd, changetype<usize>(bytes), bytes.byteLength) != SUCCESS) continue;
      const name = plain(String.UTF8.decode(bytes));
      const inside = name == "" || wanted == name || wanted.startsWith(name + "/");
      if (inside && name.length > longest) {
        directory = fd;
        longest = name.length;
      }
    }
    if (longest < 0) return null;
    let relative = wanted.substring(longest);
    while (relative.startsWith("/")) relative = relative.substring(1);
    if (relative == "") relative = ".";
    return new Place(directory, String.UTF8.encode(relative));
  }
}

type Transfer = (fd: u32, vectors: usize, count: u32, done: usize) => u32;

/** Reads or writes all of `bytes`, however many calls that takes. */
function transfer(fd: u32, bytes: Uint8Array, call: Transfer): bool {
  const vector = new StaticArray<u32>(3); // address, length; bytes done
  const start = changetype<usize>(vector);
  vector[0] = <u32>bytes.dataStart;
  vector[1] = bytes.byteLength;
  while (vector[1] != 0) {
    if (call(fd, start, 1, start + 8) != SUCCESS || vector[2] == 0) return false;
    vector[0] += vector[2];
    vector[1] -= vector[2];
  }
  return true;
}

function writeText(fd: u32, text: string): void {
  transfer(fd, Uint8Array.wrap(String.UTF8.encode(text)), fd_write);
}
