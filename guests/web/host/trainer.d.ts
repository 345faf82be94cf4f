// Types of trainer.js.
import type { Arrays, TensorArray, loadGraph } from "./graph.js";

/** A tensor that is kept: its elements are a copy. */
export interface Tensor {
  readonly dtype: keyof Arrays;
  readonly shape: readonly number[];
  readonly data: TensorArray;
}

/** Means over the rows. Accuracies are fractions, where the loss has classes. */
export interface Metrics {
  readonly loss: number;
  readonly samples: number;
  readonly accuracy?: number;
  readonly topKAccuracy?: number;
}

/** What a module says of its training. */
export interface Training {
  readonly loss: string;
  readonly optimizer: string;
  /** Rows of a step. */
  readonly batch: number;
  /** How many of them must count, and whether fewer than all may. */
  readonly least: number;
  readonly partial: boolean;
  readonly top_k: number;
  /** Of the targets; 0 for a loss without. */
  readonly classes: number;
  readonly fixed: readonly { readonly name: string; readonly sha256: string }[];
}

type Inputs = Readonly<Record<string, TensorArray>>;
type Tensors = Readonly<Record<string, Tensor>>;

/** A model that trains. What fails leaves parameters and optimizer state as they were. */
export interface Trainer {
  readonly training: Training;
  readonly settings: readonly string[];
  readonly metadata: { readonly [key: string]: unknown };
  /** One optimizer step on a batch, which may have fewer rows than the module was compiled for. */
  step(inputs: Inputs, target: TensorArray): Metrics;
  /** Over any number of rows, in evaluation mode. */
  evaluate(inputs: Inputs, target: TensorArray): Metrics;
  /** The outputs by name, in evaluation mode, for any number of rows. */
  predict(inputs: Inputs): Record<string, TensorArray>;
  /** Hyper-parameters that may change, such as learning_rate. */
  set(name: string, value: number): void;
  get(name: string): number;
  /** A view of a tensor that outlives a step: model.*, optimizer.* or settings.*. */
  state(name: string): TensorArray;
  weights(): Record<string, Tensor>;
  setWeights(tensors: Tensors): void;
  /** Safetensors: the weights, by their names in the model. */
  saveWeights(): Uint8Array;
  loadWeights(bytes: Uint8Array | ArrayBuffer): void;
  /** Safetensors: all that steps change. */
  save(): Uint8Array;
  load(bytes: Uint8Array | ArrayBuffer): void;
  close(): void;
}

/** Loads a module that was compiled with --train. */
export function loadTrainer(...how: Parameters<typeof loadGraph>): Promise<Trainer>;
