// A complete training guest. It learns the mean of eight numbers: replace `makePoints` by your own data.
//
// The model it trains maps inputs [N, 8] to outputs [N, 1]: `wasmgrad model linear-regression -o model.pt`.
import { Dataset, Model, Optimizer, Tensor, Trainer, TrainerOptions } from "wasmgrad";
import { File, fixed, print, rename } from "wasmgrad/wasi";

const FEATURES: u32 = 8;

let state: u64 = 1;

/** Uniform in [0, 1). */
function uniform(): f64 {
  state += 0x9e3779b97f4a7c15;
  let z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return <f64>((z ^ (z >> 31)) >> 11) / <f64>(<u64>1 << 53);
}

/** Targets are the mean of the features plus a little noise. */
function makePoints(count: u32): Dataset {
  const inputs = new Float32Array(count * FEATURES);
  const targets = new Float32Array(count);
  for (let i: u32 = 0; i < count; ++i) {
    let sum: f64 = 0;
    for (let feature: u32 = 0; feature < FEATURES; ++feature) {
      const x = 2 * uniform() - 1;
      inputs[i * FEATURES + feature] = <f32>x;
      sum += x;
    }
    targets[i] = <f32>(sum / FEATURES + 0.1 * uniform() - 0.05);
  }
  const points = Dataset.create().unwrap(); // as many append() calls as the data needs
  points.append([Tensor.of(inputs, [count, FEATURES])], [Tensor.of(targets, [count, 1])]).expect();
  return points;
}

/** Writes the trained model where the owner granted a directory, whole or not at all. */
function save(model: Model, path: string): void {
  const bytes = model.toBytes().unwrap();
  const file = File.create(path + ".part");
  let written = file !== null && file.write(bytes);
  if (file !== null) written = file.close() && written;
  if (written && rename(path + ".part", path)) {
    print(`saved ${path} (${bytes.length} bytes)`);
  } else {
    print(`not saved here: no directory to write ${path} to was granted (--dir .:.)`);
  }
}

const training = makePoints(2048);
const test = makePoints(512);

const model = Model.loadByName("model.pt").unwrap();
const options = new TrainerOptions().optimizer(new Optimizer("adamw").learningRate(0.01)).loss("mse").batchSize(64);
const trainer = Trainer.create(model, options).unwrap();
// A checkpoint may have been resumed, and the owner may want another number of epochs. Ctrl-C ends the guest at the call that it
// falls into; its owner's checkpoint has every step.
const begin = trainer.progress().unwrap();
const epochs: u64 = begin.ownerEpochs != 0 ? begin.ownerEpochs : 10;
for (let epoch = begin.epoch + 1; epoch <= epochs; ++epoch) {
  const loss = trainer.epoch(training).unwrap().loss;
  print(`epoch ${epoch}: training loss ${fixed(loss, 4)}, test loss ${fixed(trainer.evaluate(test).unwrap().loss, 4)}`);
}
save(model, "trained_model.pt");
