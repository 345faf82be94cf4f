// Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h.

/** Functions throw an Error whose `payload` is a {@link Error_}: its `code` and its `message`. */
declare module 'wasmgrad:training/training@0.1.0' {
  /** Why a call failed; the numbers are wasi-nn's nn_errno. */
  export type Errno = 'invalid-argument' | 'invalid-encoding' | 'timeout' | 'runtime-error' | 'unsupported-operation' | 'too-large' | 'not-found' | 'security' | 'unknown' | 'interrupted';
  /** Element types, little-endian. The numbers are wasi-nn's tensor types, then bf16. */
  export type TensorType = 'f16' | 'f32' | 'f64' | 'u8' | 'i32' | 'i64' | 'bf16';
  /** File formats of models. */
  export type Encoding = 'autodetect' | 'torchscript' | 'torch-export' | 'safetensors' | 'lora';
  export type ExecutionTarget = 'cpu';
  /** Why a call failed, and one sentence for a person. */
  export interface Error_ {
    code: Errno;
    message: string;
  }
  /** A tensor in the guest's memory: wasi-nn's record. Elements are dense and row-major; no alignment is
   * needed. */
  export interface Tensor {
    dims: number[];
    type: TensorType;
    data: Uint8Array;
  }
  /** A tensor with a name. A list of tensors is matched with a model's arguments or outputs by name; when no
   * tensor of the list has a name, by position: all have one, or none. Names are UTF-8, not terminated, of
   * at most 1024 bytes; a list of more than 1024 tensors is `too-large`. */
  export interface NamedTensor {
    name: string;
    tensor: Tensor;
  }
  /** What a pass over samples measured. NaN where there is no such figure. */
  export interface Metrics {
    /** mean over the samples */
    loss: number;
    /** 0..1, of the first output with a classification loss */
    accuracy: number;
    /** 0..1; NaN unless there are more than k classes */
    topKAccuracy: number;
    /** that of the last step; NaN when nothing was trained */
    learningRate: number;
    /** spent on the host */
    seconds: number;
    /** in this pass */
    samples: number;
    /** optimizer steps that the trainer has done in all */
    step: number;
    /** whole epochs that the trainer has done in all */
    epoch: number;
  }
  /** What `trainer.fit` did. */
  export interface FitReport {
    /** over the last epoch */
    train: Metrics;
    /** after the last epoch; all NaN and 0 without validation data */
    validation: Metrics;
    /** whole epochs done by this call */
    epochs: number;
    /** by the early-stopping option; `progress` says which epoch was best */
    stoppedEarly: boolean;
  }
  /** Where a trainer stands. */
  export interface Progress {
    /** whole epochs that the trainer has done in all */
    epoch: number;
    /** optimizer steps that it has done in all */
    step: number;
    /** batches done in the epoch under way, when one was interrupted */
    batch: number;
    /** the best of fit by early stopping's measure, from 1; 0: none yet */
    bestEpoch: number;
    /** that of the best epoch; NaN without one */
    bestLoss: number;
    /** the owner's checkpoint was restored into it when it was created */
    resumed: boolean;
    /** the model has the weights of best_epoch, as early stopping ended the last fit */
    showsBest: boolean;
    /** the owner asked to stop; calls that train are `interrupted` */
    stopRequested: boolean;
    /** how many epochs the owner wants in all; 0: that is left to the guest */
    ownerEpochs: number;
  }
  export class Model {
    private constructor();
    /** Loads a model from bytes. It is vetted first: a file that could do more than compute is `security`. */
    static load(bytes: Uint8Array, encoding: Encoding, target: ExecutionTarget): Model;
    /** Loads a model that the owner granted under this name. */
    static loadByName(name: string, target: ExecutionTarget): Model;
    /** The model with its present weights, as bytes of `encoding`. */
    export(encoding: Encoding): Uint8Array;
  }
  export class Dataset {
    private constructor();
    /** An empty dataset. Its first block decides the columns: names, types, and shapes but for the first
     * dimension. */
    static create(): Dataset;
    /** Appends a block of rows: each tensor's first dimension counts them and is the same for all. A dataset
     * that was split or given to a trainer cannot grow any more. */
    append(inputs: NamedTensor[], targets: NamedTensor[]): void;
    /** Deals the rows into n new datasets, in an order drawn from `seed`. Each fraction is in 0..1 and their
     * sum at most 1 (within 1e-9); part i has floor(fraction * rows) rows, and the last part takes what is
     * left when the sum is 1. The parts share the rows' memory with `dataset`, which stays as it is. */
    split(fractions: number[], seed: number): Dataset[];
    /** The number of rows. */
    size(): number;
  }
  export class Trainer {
    private constructor();
    /** A trainer of `model`, which has at most one at a time. `options` is a JSON object, described in
     * docs/training-abi.md#options; an unknown key is an error. Owners may override what it says. */
    static create(model: Model, options: string): Trainer;
    /** Trains `epochs` more epochs, each followed by an evaluation of `validation` (0: none), unless early
     * stopping or the owner ends it sooner. Epochs of a checkpoint that the owner resumed count: the guest
     * asks for the same number as the first time, and only those that are missing are trained, none when
     * there are enough. Early stopping leaves the model with the weights and buffers of the best epoch,
     * unless its option restore_best is off: evaluation, prediction and export use them. Training goes on
     * from those of the last epoch, also after `trainer.restore`: a checkpoint has both. A step that fails
     * ends the call and leaves no trace. The steps before it are kept; if there are any, `report` is
     * written: its `epochs` counts whole ones, and `train` is over the steps of the epoch that failed. The
     * next call goes on with the batch that failed. With the option restore_on_error all steps of the call
     * are undone instead. */
    fit(train: Dataset, validation: Dataset | null, epochs: number): FitReport;
    /** Trains one epoch. When a step fails, those before it are kept, as in `trainer.fit`, and `metrics` are
     * over them. */
    epoch(train: Dataset): Metrics;
    /** Trains one batch, given by the guest: backward, then apply. It happens whole or not at all: on an
     * error parameters, buffers, optimizer and counters are as they were. */
    step(inputs: NamedTensor[], targets: NamedTensor[]): Metrics;
    /** Adds the gradient of the batch's mean loss to the trainer's gradients. On an error nothing has
     * changed. */
    backward(inputs: NamedTensor[], targets: NamedTensor[]): Metrics;
    /** One optimizer step with the mean of the gradients that backward() added since the last one; clears
     * them. Without any gradients the result is `invalid-argument`. */
    apply(): void;
    /** Loss and accuracy in evaluation mode, in batches of the option batch_size. Buffers of the model stay. */
    evaluate(dataset: Dataset): Metrics;
    /** Where the trainer stands: what a loop of the guest's own begins with, since the owner may have resumed
     * a checkpoint. */
    progress(): Progress;
    /** Runs the model in evaluation mode and keeps its outputs until the next prediction; `outputs` is their
     * number. All rows are one batch, unless the option predict_batch_size cuts them. Buffers of the model
     * stay. */
    predict(inputs: NamedTensor[]): number;
    /** Output `index` of the last prediction: its type and shape, and its elements as bytes. */
    output(index: number): Tensor;
    /** Changes a hyper-parameter from the next step on: one that the table of options marks as such
     * (docs/training-abi.md#options), for example "learning_rate"; 0 turns "clip_norm" and "clip_value" off.
     * A learning rate that was set replaces the base rate, which the schedule still scales. An unknown key
     * is `not-found`; one that the owner decided is `unsupported-operation`, and stays. */
    set(key: string, value: number): void;
    /** The trainable parameters as f32, one after the other in the model's order: what federated averaging
     * exchanges, together with the buffers of a model that has some. */
    parameters(): number[];
    /** Replaces the parameters. `bytes` is exactly their size; every value must be finite. The optimizer's
     * state stays. */
    setParameters(values: number[]): void;
    /** The mean of the gradients that backward() added since the last apply(), in the order and size of the
     * parameters; 0 where a parameter has none. */
    gradients(): number[];
    /** Replaces the gradients: apply() then uses these. */
    setGradients(values: number[]): void;
    /** The model's buffers of floating point as f32, one after the other in the model's order: the running
     * mean and variance of batch norm, and the like. They are not parameters, but evaluation computes with
     * them: when models are averaged, average them too. A model without any gives 0 bytes. */
    buffers(): number[];
    /** Replaces the buffers. `bytes` is exactly their size; every value must be finite, or what the buffer
     * holds already. Setting what `trainer.buffers` gave changes no bit. */
    setBuffers(values: number[]): void;
    /** The trainer's whole state (parameters, buffers, optimizer, counters) as a safetensors file. Gradients
     * that were not applied are not part of it: while there are any, the result is `invalid-argument`, as it
     * is for fit and epoch. */
    checkpoint(): Uint8Array;
    /** Restores a checkpoint into a trainer of the same model and options. The run then goes on bit by bit as
     * if it had not ended. */
    restore(checkpoint: Uint8Array): void;
  }
  export class Process {
    private constructor();
    /** How many processes train together, and which of them, from 0, this one is; alone: 0 of 1. The guest
     * runs in each, and makes the same calls in the same order: those that train and evaluate wait for the
     * others, and their metrics are those of all. Without the owner's --shard every guest reads all data,
     * gives whole batches, and each process computes its part of them. With it, each guest reads data of its
     * own. */
    static group(): [number, number];
  }
  export class Run {
    private constructor();
    /** What the owner's configuration of this run has under this name, as text: UTF-8, not terminated; a
     * number in decimal, a truth value as true or false. Without such a name the result is `not-found`. */
    static config(key: string): Char[];
    /** Tells the owner a figure of the guest's own under a name: a number of any kind, as often as 100,000
     * times. The last under each name is the run's. */
    static report(name: string, value: number): void;
  }
}
