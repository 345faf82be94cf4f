// Calls everything that the AssemblyScript SDK has of wasmgrad:training@0.1 and prints what came back, a line a result. The
// guests sdk_tour_* in the other languages print the same lines.
import {
  Dataset, EarlyStopping, Encoding, Input, lastError, Loss, Metrics, Model, Optimizer, ParameterGroup, runConfig, runReport,
  Schedule, Tensor, Trainer, TrainerOptions, Type,
} from "wasmgrad";
import { fail, File, fixed, print } from "wasmgrad/wasi";

const ROWS: u32 = 12;
const FEATURES: u32 = 4;

/** Rows from `first` on, as the tensors of a model with an input `x` and the outputs `class` and `value`. */
class Rows {
  private readonly features: Float32Array;
  private readonly values: Float32Array;
  private readonly classes: Int64Array;

  constructor(first: u32, private readonly count: u32) {
    this.features = new Float32Array(count * FEATURES);
    this.values = new Float32Array(count);
    this.classes = new Int64Array(count);
    for (let i: u32 = 0; i < count * FEATURES; ++i) {
      this.features[i] = <f32>(((first * FEATURES + i) * 7) % 13) / 13 - 0.5;
    }
    for (let i: u32 = 0; i < count; ++i) {
      this.values[i] = <f32>((first + i) % 2);
      this.classes[i] = (first + i) % 3;
    }
  }

  get inputs(): Tensor[] {
    return [Tensor.of(this.features, [this.count, FEATURES], "x")];
  }

  get targets(): Tensor[] {
    return [Tensor.of(this.values, [this.count, 1], "value"), Tensor.of(this.classes, [this.count], "class")];
  }
}

function readFile(path: string): Uint8Array {
  const file = File.open(path);
  const bytes = file !== null ? file.readAll() : null;
  if (bytes === null) fail(`${path}: cannot be read`);
  return bytes!;
}

function writeFile(path: string, bytes: Uint8Array): void {
  const file = File.create(path);
  if (file === null || !file.write(bytes) || !file.close()) fail(`${path}: cannot be written`);
}

function show(name: string, values: f64[]): void {
  print(name + values.map<string>((value) => " " + fixed(value, 6)).join(""));
}

function showFloats(name: string, values: Float32Array): void {
  const numbers: f64[] = [];
  for (let i = 0; i < values.length; ++i) numbers.push(values[i]);
  show(name, numbers);
}

function showOptions(model: Model): void {
  const optimizer = new Optimizer("adamw").learningRate(0.01).weightDecay(0.1).beta1(0.8).beta2(0.9).epsilon(1e-6);
  const all = new TrainerOptions()
    .optimizer(optimizer)
    .lossOf("class", new Loss("cross_entropy"))
    .lossOf("value", new Loss("mse").weight(0.5))
    .schedule(new Schedule("cosine").warmupEpochs(1).minimumFactor(0.1))
    .epochs(5)
    .batchSize(4)
    .predictBatchSize(3)
    .batchesPerEpoch(2)
    .dropLast(true)
    .shuffle(true)
    .seed(7)
    .restoreOnError(true)
    .precision("f32")
    .rewrites(true)
    .threads(1)
    .accumulate(2)
    .clipNorm(1.5)
    .clipValue(0.5)
    .topK(2)
    .earlyStopping(new EarlyStopping(3, 0.01).restoreBest(false))
    .input("x", new Input(0.5, 1))
    .freeze(["regressor.*"]);
  const steps = new TrainerOptions()
    .optimizer(new Optimizer("sgd").momentum(0.9).nesterov(true))
    .loss("cross_entropy")
    .schedule(new Schedule("step").stepEpochs(2).gamma(0.5));
  const smoothed = new TrainerOptions().optimizer(new Optimizer("rmsprop").momentum(0.5).alpha(0.9));
  const weighted = new TrainerOptions()
    .optimizer(new Optimizer("adamw").groups([
      new ParameterGroup("*.bias").learningRate(0.001).weightDecay(0),
      new ParameterGroup("regressor.*").weightDecay(0.5),
    ]))
    .loss("cross_entropy")
    .classWeights([1, 0.5, 2])
    .ignoreIndex(-1)
    .labelSmoothing(0.1)
    .posWeight([3])
    .huberDelta(0.5)
    .focalGamma(1.5)
    .focalAlpha(0.75);
  const sets = [all, steps, smoothed, weighted];
  for (let i = 0; i < sets.length; ++i) {
    const json = sets[i].toJson();
    print("options " + json);
    Trainer.fromJson(model, json).unwrap().close();
  }
  // No trainer of it: the model would keep its branches.
  const adapted = new TrainerOptions().optimizer(new Optimizer("sgd")).lora(["classifier.*:2:4", "*:1"]);
  print("options " + adapted.toJson());
  takeOtherRules(model);
}

function takeOtherRules(model: Model): void {
  const rules = [
    new TrainerOptions().optimizer(new Optimizer("adam").amsgrad(true)),
    new TrainerOptions().optimizer(new Optimizer("sgd").momentum(0.9).dampening(0.5)),
    new TrainerOptions().optimizer(new Optimizer("nadam").momentumDecay(0.01)),
    new TrainerOptions().schedule(new Schedule("one_cycle").peakAt(0.4).startDivisor(10).endDivisor(100)),
    new TrainerOptions().schedule(new Schedule("plateau").gamma(0.5).plateauPatience(2)),
  ];
  for (let i = 0; i < rules.length; ++i)
    Trainer.fromJson(model, rules[i].loss("cross_entropy").toJson()).unwrap().close();
}

function showPrediction(name: string, trainer: Trainer): void {
  const outputs = trainer.predict(new Rows(0, 2).inputs).unwrap();
  for (let i = 0; i < outputs.length; ++i) {
    const dims = outputs[i].shape.map<string>((dim) => " " + dim.toString()).join("");
    showFloats(`${name} ${<i32>outputs[i].type}${dims}`, outputs[i].floats());
  }
}

function showExchange(trainer: Trainer): void {
  const initial = trainer.parameters().unwrap();
  for (let first: u32 = 0; first < 8; first += 4) {
    const batch = new Rows(first, 4);
    const metrics = trainer.backward(batch.inputs, batch.targets).unwrap();
    show("backward", [metrics.loss, <f64>metrics.samples, <f64>metrics.step]);
  }
  const gradients = trainer.gradients().unwrap();
  showFloats("gradients", gradients);
  for (let i = 0; i < gradients.length; ++i) gradients[i] *= 2;
  trainer.setGradients(gradients).expect();
  trainer.apply().expect();
  showFloats("applied", trainer.parameters().unwrap());
  trainer.setParameters(initial).expect();
  showFloats("replaced", trainer.parameters().unwrap());

  const buffers = trainer.buffers().unwrap();
  showFloats("buffers", buffers);
  trainer.setBuffers(new Float32Array(buffers.length).fill(1.5)).expect();
  showFloats("buffers", trainer.buffers().unwrap());
  trainer.setBuffers(buffers).expect();
}

function same(one: Float32Array, other: Float32Array): bool {
  return one.length == other.length && memory.compare(one.dataStart, other.dataStart, one.byteLength) == 0;
}

function showTraining(trainer: Trainer, data: Dataset): void {
  const batch = new Rows(0, 4);
  trainer.set("learning_rate", 0.05).expect();
  const step = trainer.step(batch.inputs, batch.targets).unwrap();
  show("step", [step.loss, step.learningRate, <f64>step.samples, <f64>step.step]);
  showFloats("stepped", trainer.parameters().unwrap());

  const state = trainer.checkpoint().unwrap();
  const epoch: Metrics = trainer.epoch(data).unwrap();
  show("epoch", [epoch.loss, <f64>epoch.samples, <f64>epoch.step, <f64>epoch.epoch]);
  const trained = trainer.parameters().unwrap();
  showFloats("trained", trained);
  trainer.restore(state).expect();
  trainer.epoch(data).unwrap();
  show("restored", [same(trainer.parameters().unwrap(), trained) ? 1 : 0]);

  const parts = data.split([0.5, 0.25, 0.25], 7).unwrap();
  show("parts", parts.map<f64>((part) => <f64>part.size().unwrap()));
  const report = trainer.fit(parts[0], parts[1], 2).unwrap();
  show("fit", [
    report.epochs, report.stoppedEarly ? 1 : 0, <f64>report.train.samples, <f64>report.train.epoch,
    <f64>report.validation.samples,
  ]);
  const alone = trainer.fit(parts[0], null, 1).unwrap();
  show("alone", [alone.epochs, <f64>alone.validation.samples]);
  const judged = trainer.evaluate(parts[2]).unwrap();
  show("evaluate", [<f64>judged.samples, <f64>judged.epoch]);
  const progress = trainer.progress().unwrap();
  show("progress", [<f64>progress.epoch, <f64>progress.step, <f64>progress.bestEpoch]);
  for (let i = 0; i < parts.length; ++i) parts[i].close();
}

function showTypes(): void {
  const one: u32[] = [1, 1];
  const bits = new Uint16Array(2);
  bits[0] = 0x3c00;
  bits[1] = 0x3f80;
  const data = Dataset.create().unwrap();
  data.append(
    [
      Tensor.ofBits(Type.F16, bits.subarray(0, 1), one), Tensor.of(new Float32Array(1), one),
      Tensor.of(new Float64Array(1), one), Tensor.of(new Uint8Array(1), one),
    ],
    [
      Tensor.of(new Int32Array(1), one), Tensor.of(new Int64Array(1), one),
      Tensor.ofBits(Type.BF16, bits.subarray(1), one),
    ],
  ).expect();
  show("types", [<f64>data.size().unwrap()]);
  data.close();
}

function showFailures(trainer: Trainer): void {
  const absent = Model.loadByName("absent");
  print(`absent ${<i32>absent.errno} ${absent.message}`);
  const speed = trainer.set("speed", 1);
  print(`speed ${<i32>speed.errno} ${lastError()}`);
}

const model = Model.load(readFile("/data/model.pt"), Encoding.TorchScript).unwrap();
showOptions(model);

const data = Dataset.create().unwrap();
for (let first: u32 = 0; first < ROWS; first += 8) {
  const block = new Rows(first, min(8, ROWS - first));
  data.append(block.inputs, block.targets).expect();
}
show("rows", [<f64>data.size().unwrap()]);

const options = new TrainerOptions()
  .optimizer(new Optimizer("sgd").learningRate(0.1))
  .lossOf("class", new Loss("cross_entropy"))
  .lossOf("value", new Loss("mse").weight(0.5))
  .batchSize(4)
  .shuffle(false)
  .threads(1);
const trainer = Trainer.create(model, options).unwrap();
showPrediction("predict", trainer);
showExchange(trainer);
showTraining(trainer, data);
showPrediction("last", trainer);

const again = Model.load(model.toBytes().unwrap()).unwrap();
const other = Trainer.fromJson(again, "{}").unwrap();
showPrediction("again", other);
other.close();
again.close();
writeFile("/data/weights.safetensors", model.toBytes(Encoding.Safetensors).unwrap());
print("config " + runConfig("note").unwrap());
print("unset " + (runConfig("absent").errno as i32).toString());
runReport("recall", 0.25).expect();
showTypes();
showFailures(trainer);
trainer.close();
data.close();
model.close();
