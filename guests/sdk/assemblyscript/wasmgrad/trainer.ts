// Trains a model.
import { Dataset } from "./dataset";
import { Model } from "./model";
import { TrainerOptions } from "./options";
import { Errno, Result, Status } from "./result";
import {
  trainer_apply, trainer_backward, trainer_buffers, trainer_checkpoint, trainer_close, trainer_create, trainer_epoch,
  trainer_evaluate, trainer_fit, trainer_gradients, trainer_output, trainer_parameters, trainer_predict, trainer_progress,
  trainer_restore, trainer_set, trainer_set_buffers, trainer_set_gradients, trainer_set_parameters, trainer_step,
} from "./sys";
import { Tensor, Type } from "./tensor";

/** What a pass over samples measured. NaN where there is no such figure. The host writes straight into the fields. */
export class Metrics {
  /** Mean over the samples. */
  loss: f64;
  /** 0 to 1, of the first output with a classification loss. */
  accuracy: f64;
  /** 0 to 1; NaN unless there are more than k classes. */
  topKAccuracy: f64;
  /** Of the last step; NaN when nothing was trained. */
  learningRate: f64;
  /** Spent on the host. */
  seconds: f64;
  /** In this pass. */
  samples: u64;
  /** Optimizer steps that the trainer has done in all. */
  step: u64;
  /** Whole epochs that the trainer has done in all. */
  epoch: u64;
}

/** What Trainer.fit did. */
export class FitReport {
  /** Of the last epoch. */
  train: Metrics = new Metrics();
  /** After the last epoch; all NaN and 0 without validation data. */
  validation: Metrics = new Metrics();
  /** Whole epochs done by this call. */
  epochs: u32;
  /** By the early-stopping option. */
  stoppedEarly: bool;
}

/** Where a trainer stands. The host writes straight into the fields. */
export class Progress {
  /** Whole epochs done in all. */
  epoch: u64;
  /** Optimizer steps done in all. */
  step: u64;
  /** Batches done in the epoch under way, when one was interrupted. */
  batch: u64;
  /** Of fit, by early stopping's measure, from 1; 0: none yet. */
  bestEpoch: u64;
  /** Of that epoch; NaN without one. */
  bestLoss: f64;
  /** 1: the owner's checkpoint was restored into it when it was created. */
  resumed: u32;
  /** 1: the model has the weights of bestEpoch, as early stopping ended the last fit. */
  showsBest: u32;
  /** 1: the owner asked to stop. */
  stopRequested: u32;
  /** How many epochs the owner wants in all; 0: that is left to the guest. */
  ownerEpochs: u32;
}

/** An output of a prediction. */
export class Output {
  constructor(
    readonly type: Type,
    readonly shape: u32[],
    /** The elements, little-endian. */
    readonly data: Uint8Array,
  ) {}

  /** The elements of an output of type f32. */
  floats(): Float32Array {
    return Float32Array.wrap(this.data.buffer);
  }
}

/** An import that stores bytes of unknown size: called for the size, then for the bytes. */
type Reader = (trainer: u32, buffer: usize, bytes: u32, written: usize) => u32;

/** Trains one model, which has at most one trainer at a time. */
export class Trainer {
  constructor(readonly handle: u32) {}

  /** A trainer of `model`. Owners may override what the options say. */
  static create(model: Model, options: TrainerOptions): Result<Trainer> {
    return Trainer.fromJson(model, options.toJson());
  }

  /** The same with the options as JSON. */
  static fromJson(model: Model, options: string): Result<Trainer> {
    const handle = new StaticArray<u32>(1);
    const json = String.UTF8.encode(options);
    const errno = trainer_create(model.handle, changetype<usize>(json), json.byteLength, changetype<usize>(handle));
    return Result.of<Trainer>(errno, new Trainer(handle[0]));
  }

  /**
   * Trains `epochs` more epochs, those of a checkpoint that the owner resumed included, each followed by an evaluation of
   * `validation`. After early stopping the model has its best epoch's weights. A step that fails leaves no trace; those
   * before it are kept, and the error says how many, unless restoreOnError undoes them. The next call goes on with the
   * batch that failed.
   */
  fit(train: Dataset, validation: Dataset | null, epochs: u32): Result<FitReport> {
    const sizeOfMetrics = offsetof<Metrics>();
    const written = new ArrayBuffer(136);
    const start = changetype<usize>(written);
    const judge: u32 = validation !== null ? validation.handle : 0;
    const errno = trainer_fit(this.handle, train.handle, judge, epochs, start);
    const report = new FitReport();
    memory.copy(changetype<usize>(report.train), start, sizeOfMetrics);
    memory.copy(changetype<usize>(report.validation), start + sizeOfMetrics, sizeOfMetrics);
    report.epochs = load<u32>(start, 128);
    report.stoppedEarly = load<u32>(start, 132) != 0;
    return Result.of<FitReport>(errno, report);
  }

  /** Trains one epoch; it fails as fit does. */
  epoch(train: Dataset): Result<Metrics> {
    const metrics = new Metrics();
    return Result.of<Metrics>(trainer_epoch(this.handle, train.handle, changetype<usize>(metrics)), metrics);
  }

  /** Trains one batch: backward(), then apply(). */
  step(inputs: Tensor[], targets: Tensor[]): Result<Metrics> {
    const metrics = new Metrics();
    const inputRecords = Tensor.records(inputs);
    const targetRecords = Tensor.records(targets);
    const errno = trainer_step(
      this.handle, changetype<usize>(inputRecords), inputs.length, changetype<usize>(targetRecords), targets.length,
      changetype<usize>(metrics)
    );
    return Result.of<Metrics>(errno, metrics);
  }

  /** Adds the gradient of the batch's mean loss to the trainer's gradients. */
  backward(inputs: Tensor[], targets: Tensor[]): Result<Metrics> {
    const metrics = new Metrics();
    const inputRecords = Tensor.records(inputs);
    const targetRecords = Tensor.records(targets);
    const errno = trainer_backward(
      this.handle, changetype<usize>(inputRecords), inputs.length, changetype<usize>(targetRecords), targets.length,
      changetype<usize>(metrics)
    );
    return Result.of<Metrics>(errno, metrics);
  }

  /** One optimizer step with the mean of the gradients that were added since the last one; clears them. */
  apply(): Status {
    return new Status(trainer_apply(this.handle));
  }

  /** Loss and accuracy in evaluation mode. */
  evaluate(dataset: Dataset): Result<Metrics> {
    const metrics = new Metrics();
    return Result.of<Metrics>(trainer_evaluate(this.handle, dataset.handle, changetype<usize>(metrics)), metrics);
  }

  /** Where the trainer stands: what a loop begins with, since the owner may have resumed a checkpoint. */
  progress(): Result<Progress> {
    const progress = new Progress();
    return Result.of<Progress>(trainer_progress(this.handle, changetype<usize>(progress)), progress);
  }

  /** All outputs of the model in evaluation mode. */
  predict(inputs: Tensor[]): Result<Output[]> {
    const count = new StaticArray<u32>(1);
    const records = Tensor.records(inputs);
    let errno = trainer_predict(this.handle, changetype<usize>(records), inputs.length, changetype<usize>(count));
    const outputs: Output[] = [];
    for (let index: u32 = 0; errno == Errno.Success && index < count[0]; ++index) {
      const info = new StaticArray<u32>(18); // type, rank, 16 dims
      const size = new StaticArray<u32>(1);
      const infoStart = changetype<usize>(info);
      errno = trainer_output(this.handle, index, infoStart, 0, 0, changetype<usize>(size));
      const data = new Uint8Array(size[0]);
      if (errno == Errno.Success) {
        errno = trainer_output(this.handle, index, infoStart, data.dataStart, size[0], changetype<usize>(size));
      }
      const shape: u32[] = [];
      for (let axis: u32 = 0; axis < info[1]; ++axis) shape.push(info[2 + axis]);
      outputs.push(new Output(info[0], shape, data));
    }
    return Result.of<Output[]>(errno, outputs);
  }

  /** Changes a hyper-parameter from the next step on: "learning_rate", "weight_decay", "momentum", ... */
  set(key: string, value: f64): Status {
    const bytes = String.UTF8.encode(key);
    return new Status(trainer_set(this.handle, changetype<usize>(bytes), bytes.byteLength, value));
  }

  /** The trainable parameters, one after the other in the model's order. */
  parameters(): Result<Float32Array> {
    return this.floats(trainer_parameters);
  }

  /** Replaces them; the optimizer's state stays. */
  setParameters(values: Float32Array): Status {
    return new Status(trainer_set_parameters(this.handle, values.dataStart, values.byteLength));
  }

  /** The mean of the gradients that were added since the last apply(), in the parameters' order. */
  gradients(): Result<Float32Array> {
    return this.floats(trainer_gradients);
  }

  /** Replaces them: apply() then uses these. */
  setGradients(values: Float32Array): Status {
    return new Status(trainer_set_gradients(this.handle, values.dataStart, values.byteLength));
  }

  /**
   * The buffers of floating point, such as batch norm's running statistics, in the model's order. Who averages the
   * parameters of models averages these too.
   */
  buffers(): Result<Float32Array> {
    return this.floats(trainer_buffers);
  }

  /** Replaces them. */
  setBuffers(values: Float32Array): Status {
    return new Status(trainer_set_buffers(this.handle, values.dataStart, values.byteLength));
  }

  /** The whole state as a safetensors file. */
  checkpoint(): Result<Uint8Array> {
    return this.read(trainer_checkpoint);
  }

  /** Restores a checkpoint of the same model and options: the run goes on bit by bit as if it had not ended. */
  restore(checkpoint: Uint8Array): Status {
    return new Status(trainer_restore(this.handle, checkpoint.dataStart, checkpoint.byteLength));
  }

  /** Gives the handle back; the object must not be used any more. */
  close(): void {
    trainer_close(this.handle);
  }

  private read(call: Reader): Result<Uint8Array> {
    const size = new StaticArray<u32>(1);
    let errno = call(this.handle, 0, 0, changetype<usize>(size));
    const bytes = new Uint8Array(size[0]);
    if (errno == Errno.Success) errno = call(this.handle, bytes.dataStart, bytes.byteLength, changetype<usize>(size));
    return Result.of<Uint8Array>(errno, bytes);
  }

  private floats(call: Reader): Result<Float32Array> {
    const bytes = this.read(call);
    const values = bytes.ok ? Float32Array.wrap(bytes.unwrap().buffer) : new Float32Array(0);
    return Result.of<Float32Array>(bytes.errno, values);
  }
}
