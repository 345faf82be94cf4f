// What the guest knows about its run, and the file in which it survives: a small header, then the trainer's checkpoint. The
// guests mnist_loop_* in the other languages write the same bytes.
import { Trainer } from "wasmgrad";
import { fail, File, rename } from "wasmgrad/wasi";

const HEADER_BYTES = 24;

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

export class Progress {
  /** Epochs done. */
  epoch: u32 = 0;
  /** Of them, how many since the validation loss was at its best. */
  stale: u32 = 0;
  learningRate: f64 = 1e-3;
  bestLoss: f64 = Infinity;

  save(path: string, trainer: Trainer): void {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, this.epoch, true);
    header.setUint32(4, this.stale, true);
    header.setFloat64(8, this.learningRate, true);
    header.setFloat64(16, this.bestLoss, true);
    writeFile(path, [Uint8Array.wrap(header.buffer), trainer.checkpoint().unwrap()]);
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
    trainer.restore(bytes!.subarray(HEADER_BYTES)).expect();
    return progress;
  }
}
