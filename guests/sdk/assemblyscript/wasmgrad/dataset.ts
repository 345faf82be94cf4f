// Rows of inputs and targets on the host.
import { Result, Status } from "./result";
import { dataset_append, dataset_close, dataset_create, dataset_size, dataset_split } from "./sys";
import { Tensor } from "./tensor";

/** Rows on the host. A trainer keeps its own hold on them while it needs them. */
export class Dataset {
  constructor(readonly handle: u32) {}

  /** An empty one. Its first block decides the columns. */
  static create(): Result<Dataset> {
    const handle = new StaticArray<u32>(1);
    const errno = dataset_create(changetype<usize>(handle));
    return Result.of<Dataset>(errno, new Dataset(handle[0]));
  }

  /** Appends a block of rows; its memory may be reused for the next one. A dataset that was split or trained on cannot grow. */
  append(inputs: Tensor[], targets: Tensor[]): Status {
    const inputRecords = Tensor.records(inputs);
    const targetRecords = Tensor.records(targets);
    return new Status(
      dataset_append(
        this.handle, changetype<usize>(inputRecords), inputs.length, changetype<usize>(targetRecords), targets.length
      )
    );
  }

  /** New datasets with these fractions of the rows, drawn from `seed`. They share the rows' memory with this one. */
  split(fractions: f64[], seed: u64): Result<Dataset[]> {
    const handles = new StaticArray<u32>(fractions.length);
    const errno = dataset_split(this.handle, fractions.dataStart, fractions.length, seed, changetype<usize>(handles));
    const parts: Dataset[] = [];
    for (let i = 0; i < handles.length; ++i) parts.push(new Dataset(handles[i]));
    return Result.of<Dataset[]>(errno, parts);
  }

  /** Rows. */
  size(): Result<u64> {
    const rows = new StaticArray<u64>(1);
    const errno = dataset_size(this.handle, changetype<usize>(rows));
    return Result.of<u64>(errno, rows[0]);
  }

  /** Gives the handle back; the object must not be used any more. */
  close(): void {
    dataset_close(this.handle);
  }
}
