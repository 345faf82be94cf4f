// Train neural networks from inside a WebAssembly sandbox: models, datasets and trainers that live on the host, and the
// guest's own training loop.
export { Errno, Result, Status, lastError } from "./result";
export { ProcessGroup, processGroup } from "./processes";
export { runConfig, runReport } from "./run";
export { Tensor, Type } from "./tensor";
export { EarlyStopping, Input, Loss, Optimizer, ParameterGroup, Schedule, TrainerOptions } from "./options";
export { Encoding, Model } from "./model";
export { Dataset } from "./dataset";
export { FitReport, Metrics, Output, Trainer } from "./trainer";
