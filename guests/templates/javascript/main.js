// A complete training guest: it reads points from a CSV file and learns their last column. Replace `readPoints`
// by your own data.
//
// The model it trains maps inputs [N, 8] to outputs [N, 1]: `wasmgrad model linear-regression -o model.pt`.
import { args, print, readText, tensor, warn, writeBytes } from 'wasmgrad';
import { Dataset, Model, Trainer } from 'wasmgrad:training/training@0.1.0';

const FEATURES = 8;
const MOST_EPOCHS = 100;
const PATIENCE = 5; // epochs without a better validation loss

function readPoints(path) {
  const rows = readText(path)
    .trim()
    .split('\n')
    .slice(1) // the names of the columns
    .map((line) => line.split(',').map(Number));
  const points = Dataset.create();
  const inputs = rows.flatMap((row) => row.slice(0, FEATURES));
  const targets = rows.map((row) => row[FEATURES]);
  points.append([tensor('f32', [rows.length, FEATURES], inputs)], [tensor('f32', [rows.length, 1], targets)]);
  return points;
}

function save(path, bytes) {
  try {
    writeBytes(path, bytes);
    print(`saved ${path} (${bytes.length} bytes)`);
  } catch (error) {
    warn(`not saved here: ${error.message ?? error}`);
  }
}

export function main() {
  const [training, validation] = readPoints(args()[0] ?? '/data/points.csv').split([0.8, 0.2], 1);
  const model = Model.loadByName('model.pt', 'cpu');
  const options = { loss: 'mse', optimizer: { name: 'adamw', learning_rate: 0.05 }, batch_size: 32 };
  const trainer = Trainer.create(model, JSON.stringify(options));

  // A checkpoint may have been resumed, and the owner may want another number of epochs.
  const begin = trainer.progress();
  const epochs = begin.ownerEpochs || MOST_EPOCHS;
  let best = { epoch: Number(begin.epoch), loss: Infinity, checkpoint: trainer.checkpoint() };
  for (let epoch = Number(begin.epoch) + 1; epoch <= epochs; ++epoch) {
    const trained = trainer.epoch(training);
    const { loss } = trainer.evaluate(validation);
    if (epoch % 10 === 0) print(`epoch ${epoch}: training loss ${trained.loss.toFixed(4)}, validation loss ${loss.toFixed(4)}`);
    if (loss < best.loss) best = { epoch, loss, checkpoint: trainer.checkpoint() };
    if (epoch - best.epoch >= PATIENCE) break;
  }
  trainer.restore(best.checkpoint);
  print(`best epoch ${best.epoch}: validation loss ${best.loss.toFixed(4)}`);
  save('/out/checkpoint.safetensors', best.checkpoint);
  save('/out/trained_model.pt', model.export('torchscript'));
}
