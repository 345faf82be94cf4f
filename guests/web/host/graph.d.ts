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

/** An input or output: every extent of its shape is known. Those of the axes `batched` are multiples of the plan's batch. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: keyof Arrays;
  readonly shape: readonly number[];
  readonly batched?: readonly number[];
}

/** One of a module's plans: what it is for, how many samples it takes, and its tensors as they are with the most of them. */
export interface Plan {
  readonly entry: string;
  readonly batch: { readonly least: number; readonly most: number } | null;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly flops: number;
  readonly plan: readonly { readonly name: string; readonly kernel: string }[];
}

/** Which plan is meant: the one of an entry, by default the first plan's, that takes inputs of these shapes. */
export interface Choice {
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly entry?: string;
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

/** A module that can run. `inputs`, `outputs` and `views` are those of the plan that was chosen last, at first of the first one. */
export interface Graph {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly states: readonly StateInfo[];
  /** What the module says of itself: `plans` are all that it can run, each with its calls; `plan` are those of the first one. */
  readonly metadata: { readonly plans: readonly Plan[]; readonly plan: Plan["plan"]; readonly [key: string]: unknown };
  /** Typed arrays over the module's memory, in the order of `inputs`, `outputs` and `states`. */
  readonly views: {
    readonly inputs: readonly TensorArray[];
    readonly outputs: readonly TensorArray[];
    readonly states: readonly TensorArray[];
  };
  /**
   * Copies the feeds in, runs, and returns copies of the outputs by name. The lengths of the feeds tell which plan runs, or the
   * choice. Inputs that are left out keep what they hold, while the plan stays the same.
   */
  run(feeds?: Readonly<Record<string, TensorArray>>, choice?: Choice): Record<string, TensorArray>;
  /** Chooses a plan: `inputs`, `outputs` and `views` are its own then, and inputs hold nothing, unless it was chosen already. */
  select(choice?: Choice): void;
  /** Chooses a plan by its number in `metadata.plans`, for so many samples; for 0, the default, as many as it can. */
  selectPlan(number: number, samples?: number): void;
  /** Runs on what the input views hold. */
  execute(): void;
  /** A view of the state of that name, zero before the first run: it changes with each run, and what is written to it counts. */
  state(name: string): TensorArray;
  /** Makes all states zero again. */
  reset(): void;
  /** How many threads run it. */
  readonly threads: number;
  /** Ends its other threads; it cannot run afterwards. With one thread there is nothing to end. */
  close(): void;
  /** Runs one call of the plan, for profiling. */
  call(index: number): void;
}

/**
 * Loads and instantiates a module. `weights`: where they are, for a module whose weights are in a file of their own. `threads`: how
 * many run it, of those that it was compiled for; by default as many as are of use. A page that is not cross-origin isolated has one.
 */
export function loadGraph(from: Source, options?: { weights?: Source; threads?: number }): Promise<Graph>;
