// What the guest knows about its run, and the file in which it survives: a small header, the best weights, then the trainer's
// checkpoint. The guests mnist_loop_* in the other languages write the same bytes.
import { Trainer } from "wasmgrad";
import { fail, File, rename } from "wasmgrad/wasi";

/** The numbers, and how many best parameters and buffers follow. */
const HEADER_BYTES = 32;

/** Writes `parts` one after the other under a temporary name, then renames it: the file is whole or not there. */
export function writeFile(path: string, parts: Uint8Array[]): void {
  const temporary = path + ".part";
  const file = File.create(temporary);
  let written = file !== null;
  if (file !== null) {
    for (let i = 0; i < parts.length; ++i) written = written && file.write(parts[i]);
    written = file.close() && written;
  }
  if (!written || !rename(temporary, path)) fail(`${path}: cannot be written`);
}

function bytesOf(values: Float32Array): Uint8Array {
  return Uint8Array.wrap(values.buffer, values.byteOffset, values.byteLength);
}

/** `bytes` begin their buffer. */
function floatsOf(bytes: Uint8Array): Float32Array {
  return Float32Array.wrap(bytes.buffer, 0, bytes.length / 4);
}

export class Progress {
  /** Epochs done. */
  epoch: u32 = 0;
  /** Of them, how many since the validation loss was at its best. */
  stale: u32 = 0;
  learningRate: f64 = 1e-3;
  bestLoss: f64 = Infinity;
  /** Of the epoch with that loss; empty before the first. So are the buffers. */
  bestParameters: Float32Array = new Float32Array(0);
  bestBuffers: Float32Array = new Float32Array(0);

  save(path: string, trainer: Trainer): void {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, this.epoch, true);
    header.setUint32(4, this.stale, true);
    header.setFloat64(8, this.learningRate, true);
    header.setFloat64(16, this.bestLoss, true);
    header.setUint32(24, this.bestParameters.length, true);
    header.setUint32(28, this.bestBuffers.length, true);
    writeFile(path, [
      Uint8Array.wrap(header.buffer), bytesOf(this.bestParameters), bytesOf(this.bestBuffers), trainer.checkpoint().unwrap(),
    ]);
  }

  static resume(path: string, trainer: Trainer): Progress {
    const file = File.open(path);
    if (file === null) fail(`${path}: cannot be opened`);
    const bytes = file!.readAll();
    if (bytes === null || bytes.length < HEADER_BYTES) fail(`${path}: is not a whole checkpoint`);
    const header = new DataView(bytes!.buffer);
    const progress = new Progress();
    progress.epoch = header.getUint32(0, true);
    progress.stale = header.getUint32(4, true);
    progress.learningRate = header.getFloat64(8, true);
    progress.bestLoss = header.getFloat64(16, true);
    const endOfParameters = <u64>HEADER_BYTES + 4 * <u64>header.getUint32(24, true);
    const end = endOfParameters + 4 * <u64>header.getUint32(28, true);
    if (<u64>bytes!.length < end) fail(`${path}: is not a whole checkpoint`);
    progress.bestParameters = floatsOf(bytes!.slice(HEADER_BYTES, <i32>endOfParameters));
    progress.bestBuffers = floatsOf(bytes!.slice(<i32>endOfParameters, <i32>end));
    trainer.restore(bytes!.subarray(<i32>end)).expect();
    return progress;
  }
}
