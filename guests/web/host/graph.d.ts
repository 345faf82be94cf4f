// Types of graph.js.

/** Element types, and the typed array that holds each: of float16 and bfloat16 the raw bits, of bool bytes. */
export interface Arrays {
  bool: Uint8Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
}

/** The typed array of a tensor, in row-major order. */
export type TensorArray = Arrays[keyof Arrays];

/** An input or output: every extent of its shape is known. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: keyof Arrays;
  readonly shape: readonly number[];
}

/** A tensor that a module keeps from one run to the next, called as the input that it was in the model. */
export interface StateInfo extends TensorInfo {
  /** The model's output whose value becomes the next one. */
  readonly output: string;
}

/** A path (in Node), a URL, a File or other Blob, an ArrayBuffer or a typed array. */
export type Source = string | URL | Blob | ArrayBuffer | ArrayBufferView;

/** Whatever can go wrong; `kind` is a stable name for programs, such as "invalid_argument". */
export class GraphError extends Error {
  constructor(kind: string, message: string);
  readonly kind: string;
}

/** A module that can run. */
export interface Graph {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly states: readonly StateInfo[];
  /** What the module says of itself: `plan` lists its calls. */
  readonly metadata: { readonly plan: readonly { readonly name: string; readonly kernel: string }[]; readonly [key: string]: unknown };
  /** Typed arrays over the module's memory, in the order of `inputs`, `outputs` and `states`. */
  readonly views: {
    readonly inputs: readonly TensorArray[];
    readonly outputs: readonly TensorArray[];
    readonly states: readonly TensorArray[];
  };
  /** Copies the feeds in, runs, and returns copies of the outputs by name. Inputs that are left out keep what they hold. */
  run(feeds?: Readonly<Record<string, TensorArray>>): Record<string, TensorArray>;
  /** Runs on what the input views hold. */
  execute(): void;
  /** A view of the state of that name, zero before the first run: it changes with each run, and what is written to it counts. */
  state(name: string): TensorArray;
  /** Makes all states zero again. */
  reset(): void;
  /** Runs one call of `metadata.plan`, for profiling. */
  call(index: number): void;
}

/** Loads and instantiates a module. `weights`: where they are, for a module whose weights are in a file of their own. */
export function loadGraph(from: Source, options?: { weights?: Source }): Promise<Graph>;
