// The MNIST digits on their way from the IDX files to the host, block by block.
import { Dataset, Tensor } from "wasmgrad";
import { fail, File } from "wasmgrad/wasi";

const SIDE: u32 = 28;
const PIXELS: i32 = 28 * 28;
const BLOCK: i32 = 1000;

/** A file of unsigned bytes whose samples are images, or scalars. */
class Idx {
  count: i32 = 0;
  private readonly file: File | null;

  constructor(readonly path: string, rank: u32) {
    this.file = File.open(path);
    if (this.file === null) fail(`${path}: cannot be opened`);
    const header = new Uint8Array(4 + 4 * rank);
    this.read(header);
    const magic = bswap(load<u32>(header.dataStart));
    if (magic != (0x800 | rank)) fail(`${path}: bad magic number: expected ${0x800 | rank}, found ${magic}`);
    for (let axis: u32 = 1; axis < rank; ++axis) {
      const side = bswap(load<u32>(header.dataStart + 4 * axis, 4));
      if (side != SIDE) fail(`${path}: expected images of ${SIDE}x${SIDE}, found a side of ${side}`);
    }
    this.count = bswap(load<u32>(header.dataStart, 4));
  }

  read(destination: Uint8Array): void {
    if (!this.file!.read(destination)) fail(`${this.path}: truncated: expected ${destination.length} more bytes`);
  }

  close(): void {
    this.file!.close();
  }
}

/** A dataset of all digits of `set`, "train" or "t10k", in `directory`. */
export function upload(directory: string, set: string): Dataset {
  const images = new Idx(`${directory}/${set}-images-idx3-ubyte`, 3);
  const labels = new Idx(`${directory}/${set}-labels-idx1-ubyte`, 1);
  if (labels.count != images.count) {
    fail(`${labels.path}: expected ${images.count} labels, one for each image, found ${labels.count}`);
  }

  const dataset = Dataset.create().unwrap();
  const pixels = new Uint8Array(BLOCK * PIXELS);
  const bytes = new Uint8Array(BLOCK);
  const classes = new Int64Array(BLOCK);
  for (let done = 0; done < images.count; done += BLOCK) {
    const rows = min(BLOCK, images.count - done);
    const block = pixels.subarray(0, rows * PIXELS);
    images.read(block);
    labels.read(bytes.subarray(0, rows));
    for (let i = 0; i < rows; ++i) classes[i] = bytes[i];
    dataset.append([Tensor.of(block, [rows, 1, SIDE, SIDE])], [Tensor.of(classes.subarray(0, rows), [rows])]).expect();
  }
  images.close();
  labels.close();
  return dataset;
}
