// The options of a trainer, and the JSON text that the host reads. What is not set is left out: the host has the defaults
// (docs/training-abi.md#options) and judges the values.

function quoted(text: string): string {
  let json = '"';
  for (let i = 0; i < text.length; ++i) {
    const unit = text.charCodeAt(i);
    if (unit == 0x22 || unit == 0x5c) {
      json += "\\" + text.charAt(i);
    } else if (unit < 0x20) {
      json += "\\u00" + (unit < 0x10 ? "0" : "") + unit.toString(16);
    } else {
      json += text.charAt(i);
    }
  }
  return json + '"';
}

/** An object that is written member by member. */
class JsonObject {
  private members: string = "";

  protected put(key: string, json: string): void {
    this.members += (this.members.length == 0 ? "{" : ",") + quoted(key) + ":" + json;
  }

  toJson(): string {
    return this.members.length == 0 ? "{}" : this.members + "}";
  }
}

/** Parameters, by a pattern of their names ("*.bias"), that are trained in another way than the others. */
export class ParameterGroup extends JsonObject {
  constructor(parameters: string) {
    super();
    this.put("parameters", quoted(parameters));
  }

  /** Instead of the optimizer's. */
  learningRate(value: f64): this {
    this.put("learning_rate", value.toString());
    return this;
  }
  /** Instead of the optimizer's. */
  weightDecay(value: f64): this {
    this.put("weight_decay", value.toString());
    return this;
  }
}

/** How parameters are updated, by a name that docs/training-abi.md lists ("adamw"). Every method returns the object itself. */
export class Optimizer extends JsonObject {
  constructor(name: string) {
    super();
    this.put("name", quoted(name));
  }

  // [generated: methods optimizer]
  /** Step size, which a schedule scales. */
  learningRate(value: f64): this {
    this.put("learning_rate", value.toString());
    return this;
  }
  /** L2 penalty; decoupled for adamw, lion and lamb. */
  weightDecay(value: f64): this {
    this.put("weight_decay", value.toString());
    return this;
  }
  /** Smoothing of the gradient's mean (adam, adamw, nadam, radam, lion, lamb). */
  beta1(value: f64): this {
    this.put("beta1", value.toString());
    return this;
  }
  /** Smoothing of the gradient's square, or lion's later one of the mean (adam, adamw, nadam, radam, lion, lamb). */
  beta2(value: f64): this {
    this.put("beta2", value.toString());
    return this;
  }
  /** Added to the divisor (adam, adamw, rmsprop, adagrad, nadam, radam, lamb). */
  epsilon(value: f64): this {
    this.put("epsilon", value.toString());
    return this;
  }
  /** Divide by the largest square so far (adam, adamw). */
  amsgrad(value: bool): this {
    this.put("amsgrad", value.toString());
    return this;
  }
  /** How fast the momentum approaches beta1 (nadam). */
  momentumDecay(value: f64): this {
    this.put("momentum_decay", value.toString());
    return this;
  }
  /** Share of the previous step that is kept (sgd, rmsprop). */
  momentum(value: f64): this {
    this.put("momentum", value.toString());
    return this;
  }
  /** Nesterov's momentum; needs momentum above 0 and no dampening (sgd). */
  nesterov(value: bool): this {
    this.put("nesterov", value.toString());
    return this;
  }
  /** Share of a gradient that momentum leaves out (sgd). */
  dampening(value: f64): this {
    this.put("dampening", value.toString());
    return this;
  }
  /** Smoothing of the gradient's square (rmsprop). */
  alpha(value: f64): this {
    this.put("alpha", value.toString());
    return this;
  }
  // [/generated]

  /** Parameters that are trained in another way than the others; the first pattern that matches counts. */
  groups(groups: ParameterGroup[]): this {
    this.put("groups", "[" + groups.map<string>((group) => group.toJson()).join(",") + "]");
    return this;
  }
}

/** The loss of an output: "cross_entropy", "mse", ... */
export class Loss extends JsonObject {
  constructor(name: string) {
    super();
    this.put("name", quoted(name));
  }

  weight(value: f64): this {
    this.put("weight", value.toString());
    return this;
  }
}

/** The learning rate over time, by a name that docs/training-abi.md lists ("cosine"). */
export class Schedule extends JsonObject {
  constructor(name: string) {
    super();
    this.put("name", quoted(name));
  }

  // [generated: methods schedule]
  /** Epochs of linear warm-up from 0, before any schedule. */
  warmupEpochs(value: u32): this {
    this.put("warmup_epochs", value.toString());
    return this;
  }
  /** Epochs between two decays (step). */
  stepEpochs(value: u32): this {
    this.put("step_epochs", value.toString());
    return this;
  }
  /** Factor of each decay (step, exponential, plateau). */
  gamma(value: f64): this {
    this.put("gamma", value.toString());
    return this;
  }
  /** Factor of the learning rate that is reached at the end of the run (cosine, linear). */
  minimumFactor(value: f64): this {
    this.put("minimum_factor", value.toString());
    return this;
  }
  /** Share of the run after which the learning rate is highest (one_cycle). */
  peakAt(value: f64): this {
    this.put("peak_at", value.toString());
    return this;
  }
  /** The first learning rate is the highest divided by this (one_cycle). */
  startDivisor(value: f64): this {
    this.put("start_divisor", value.toString());
    return this;
  }
  /** The last learning rate is the first divided by this (one_cycle). */
  endDivisor(value: f64): this {
    this.put("end_divisor", value.toString());
    return this;
  }
  /** Epochs in a row without a loss lower by a ten-thousandth before a decay (plateau). */
  plateauPatience(value: u32): this {
    this.put("plateau_patience", value.toString());
    return this;
  }
  // [/generated]
}

/**
 * When Trainer.fit ends before its last epoch: after `patience` epochs without an improvement by `minDelta`. The model ends with
 * the weights of its best epoch unless restoreBest(false) was called.
 */
export class EarlyStopping extends JsonObject {
  constructor(patience: u32, minDelta: f64 = 0) {
    super();
    this.put("patience", patience.toString());
    this.put("min_delta", minDelta.toString());
  }

  restoreBest(value: bool): this {
    this.put("restore_best", value.toString());
    return this;
  }
}

/** An input becomes x * scale + offset. */
export class Input extends JsonObject {
  constructor(scale: f64, offset: f64 = 0) {
    super();
    this.put("scale", scale.toString());
    this.put("offset", offset.toString());
  }
}

class Members extends JsonObject {
  set(key: string, json: string): void {
    this.put(key, json);
  }
}

/** Everything that a trainer can be told. Every method returns the object itself; call each at most once. */
export class TrainerOptions extends JsonObject {
  private losses: Members | null = null;
  private inputs: Members | null = null;

  optimizer(value: Optimizer): this {
    this.put("optimizer", value.toJson());
    return this;
  }
  /** The loss of a model with one output; "model" when it returns its loss itself. */
  loss(name: string): this {
    this.put("loss", quoted(name));
    return this;
  }
  /** The loss of one output, by its name or position; once for each output that counts. */
  lossOf(output: string, loss: Loss): this {
    let losses = this.losses;
    if (losses === null) losses = this.losses = new Members();
    losses.set(output, loss.toJson());
    return this;
  }
  /** What happens to an input, by its name or position, before the model sees it. */
  input(name: string, value: Input): this {
    let inputs = this.inputs;
    if (inputs === null) inputs = this.inputs = new Members();
    inputs.set(name, value.toJson());
    return this;
  }
  schedule(value: Schedule): this {
    this.put("schedule", value.toJson());
    return this;
  }
  // [generated: methods trainer]
  /** Patterns of the parameters and running statistics that stay as they are. */
  freeze(value: string[]): this {
    this.put("freeze", "[" + value.map<string>((text) => quoted(text)).join(",") + "]");
    return this;
  }
  /** Low-rank branches that are trained in place of the weights: PATTERN:RANK or PATTERN:RANK:ALPHA. */
  lora(value: string[]): this {
    this.put("lora", "[" + value.map<string>((text) => quoted(text)).join(",") + "]");
    return this;
  }
  /** Weight of each class; the mean is over the weights (cross_entropy, cross_entropy_probabilities, nll). */
  classWeights(value: f64[]): this {
    this.put("class_weights", "[" + value.join(",") + "]");
    return this;
  }
  /** Class index of the targets that do not count (cross_entropy, cross_entropy_probabilities, nll). */
  ignoreIndex(value: i32): this {
    this.put("ignore_index", value.toString());
    return this;
  }
  /** Share of each target that is spread over all classes (cross_entropy). */
  labelSmoothing(value: f64): this {
    this.put("label_smoothing", value.toString());
    return this;
  }
  /** Weight of the positive targets of each output in the last dimension, or one for all (bce_with_logits). */
  posWeight(value: f64[]): this {
    this.put("pos_weight", "[" + value.join(",") + "]");
    return this;
  }
  /** Difference from which the loss is linear (huber). */
  huberDelta(value: f64): this {
    this.put("huber_delta", value.toString());
    return this;
  }
  /** How much less a target counts that is already predicted well (focal). */
  focalGamma(value: f64): this {
    this.put("focal_gamma", value.toString());
    return this;
  }
  /** Weight of positive targets; negative ones have 1 - this (focal). */
  focalAlpha(value: f64): this {
    this.put("focal_alpha", value.toString());
    return this;
  }
  /** Passes over the training set, counting those before a resume. */
  epochs(value: u32): this {
    this.put("epochs", value.toString());
    return this;
  }
  /** Samples a step; the last batch of an epoch may be smaller. */
  batchSize(value: u32): this {
    this.put("batch_size", value.toString());
    return this;
  }
  /** Rows of a prediction that are computed at a time; a model that looks across rows needs them all. */
  predictBatchSize(value: u32): this {
    this.put("predict_batch_size", value.toString());
    return this;
  }
  /** Batches an epoch. */
  batchesPerEpoch(value: u32): this {
    this.put("batches_per_epoch", value.toString());
    return this;
  }
  /** Leave out the last batch of an epoch when it is smaller than the others. */
  dropLast(value: bool): this {
    this.put("drop_last", value.toString());
    return this;
  }
  /** A new order each epoch, drawn from the seed. */
  shuffle(value: bool): this {
    this.put("shuffle", value.toString());
    return this;
  }
  /** Epochs that fail undo their steps, which takes a copy of the state, instead of keeping those completed. */
  restoreOnError(value: bool): this {
    this.put("restore_on_error", value.toString());
    return this;
  }
  /** Where order and dropout start. */
  seed(value: u64): this {
    this.put("seed", value.toString());
    return this;
  }
  /** Threads of the training host; 0 takes as many as the process may use. */
  threads(value: u32): this {
    this.put("threads", value.toString());
    return this;
  }
  /** Type that a training step multiplies in; bf16 pays on CPUs with AMX or AVX-512 BF16. */
  precision(value: string): this {
    this.put("precision", quoted(value));
    return this;
  }
  /** Run the model's graph rewritten for speed; without, PyTorch's operators one by one. */
  rewrites(value: bool): this {
    this.put("rewrites", value.toString());
    return this;
  }
  /** Batches whose mean gradient makes one optimizer step. */
  accumulate(value: u32): this {
    this.put("accumulate", value.toString());
    return this;
  }
  /** Largest L2 norm of all gradients together. */
  clipNorm(value: f64): this {
    this.put("clip_norm", value.toString());
    return this;
  }
  /** Largest absolute value of a gradient element. */
  clipValue(value: f64): this {
    this.put("clip_value", value.toString());
    return this;
  }
  /** k of the second accuracy. */
  topK(value: u32): this {
    this.put("top_k", value.toString());
    return this;
  }
  // [/generated]
  earlyStopping(value: EarlyStopping): this {
    this.put("early_stopping", value.toJson());
    return this;
  }

  toJson(): string {
    const losses = this.losses;
    const inputs = this.inputs;
    if (losses !== null) this.put("loss", losses.toJson());
    if (inputs !== null) this.put("inputs", inputs.toJson());
    this.losses = this.inputs = null;
    return super.toJson();
  }
}
