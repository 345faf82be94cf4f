// Trains a digit classifier with a training loop of its own: validation, learning rate, early stopping and checkpoints are
// decided here, the host computes.
import { Dataset, Input, Model, Trainer, TrainerOptions } from "wasmgrad";
import { exit, fixed, print } from "wasmgrad/wasi";

import { Settings } from "./arguments";
import { upload } from "./digits";
import { Progress, writeFile } from "./progress";

const PATIENCE: u32 = 3;

function options(settings: Settings): TrainerOptions {
  const result = new TrainerOptions()
    .loss("cross_entropy")
    .batchSize(128)
    .seed(settings.seed)
    .input("0", new Input(1.0 / 255));
  return settings.batches != 0 ? result.batchesPerEpoch(settings.batches) : result;
}

function trainEpoch(
  trainer: Trainer, train: Dataset, validation: Dataset, progress: Progress, checkpoint: string
): void {
  trainer.set("learning_rate", progress.learningRate).expect();
  const done = trainer.epoch(train);
  if (done.interrupted) progress.save(checkpoint, trainer); // within the epoch
  const trained = done.unwrap();
  const judged = trainer.evaluate(validation).unwrap();
  ++progress.epoch;
  print(
    `epoch ${progress.epoch}: training loss ${fixed(trained.loss, 4)}, validation loss ${fixed(judged.loss, 4)}, ` +
    `validation accuracy ${fixed(judged.accuracy, 4)}, learning rate ${fixed(progress.learningRate, 6)}`
  );
  if (judged.loss < progress.bestLoss) {
    progress.bestLoss = judged.loss;
    progress.bestParameters = trainer.parameters().unwrap();
    progress.bestBuffers = trainer.buffers().unwrap();
    progress.stale = 0;
  } else {
    progress.learningRate /= 2;
    ++progress.stale;
  }
}

function run(settings: Settings): void {
  const parts = upload(settings.data, "train").split([0.9, 0.1], settings.seed).unwrap();
  const train = parts[0];
  const validation = parts[1];
  const test = upload(settings.data, "t10k");
  print(
    `training on ${train.size().unwrap()} images, validating on ${validation.size().unwrap()}, ` +
    `testing on ${test.size().unwrap()}`
  );

  const model = Model.loadByName(settings.model).unwrap();
  const trainer = Trainer.create(model, options(settings)).unwrap();
  const checkpoint = settings.out + "/loop.checkpoint";
  let progress = new Progress();
  if (settings.resume) {
    progress = Progress.resume(checkpoint, trainer);
    print(`resuming after epoch ${progress.epoch}`);
  }
  while (progress.epoch < settings.epochs && progress.stale < PATIENCE) {
    trainEpoch(trainer, train, validation, progress, checkpoint);
    progress.save(checkpoint, trainer);
  }
  if (progress.stale == PATIENCE) print(`stopping: no better validation loss in ${PATIENCE} epochs`);

  if (progress.bestParameters.length > 0) { // what the last epochs made worse is not what is saved
    trainer.setParameters(progress.bestParameters).expect();
    trainer.setBuffers(progress.bestBuffers).expect();
  }
  const result = trainer.evaluate(test).unwrap();
  print(`test loss ${fixed(result.loss, 4)}, test accuracy ${fixed(result.accuracy, 4)}`);
  const trained = settings.out + "/trained.pt";
  writeFile(trained, [model.toBytes().unwrap()]);
  print(`wrote ${trained}`);
  // What the guest still owns on the host is closed when it ends.
}

run(Settings.fromCommandLine());
exit(0);
