// The imports of wasmgrad:training@0.1 as they are. guests/sdk/include/wasmgrad/training_v1.h is their definition and says
// what each one does; the classes of this package are the only callers.

// [generated: imports]
@external("wasmgrad:training@0.1", "model_load")
export declare function model_load(bytes: usize, size: u32, encoding: u32, target: u32, model: usize): u32;
@external("wasmgrad:training@0.1", "model_load_by_name")
export declare function model_load_by_name(name: usize, nameBytes: u32, target: u32, model: usize): u32;
@external("wasmgrad:training@0.1", "model_export")
export declare function model_export(model: u32, encoding: u32, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "model_close")
export declare function model_close(model: u32): u32;
@external("wasmgrad:training@0.1", "dataset_create")
export declare function dataset_create(dataset: usize): u32;
@external("wasmgrad:training@0.1", "dataset_append")
export declare function dataset_append(dataset: u32, inputs: usize, nInputs: u32, targets: usize, nTargets: u32): u32;
@external("wasmgrad:training@0.1", "dataset_split")
export declare function dataset_split(dataset: u32, fractions: usize, n: u32, seed: u64, parts: usize): u32;
@external("wasmgrad:training@0.1", "dataset_size")
export declare function dataset_size(dataset: u32, rows: usize): u32;
@external("wasmgrad:training@0.1", "dataset_close")
export declare function dataset_close(dataset: u32): u32;
@external("wasmgrad:training@0.1", "trainer_create")
export declare function trainer_create(model: u32, options: usize, optionsBytes: u32, trainer: usize): u32;
@external("wasmgrad:training@0.1", "trainer_fit")
export declare function trainer_fit(trainer: u32, train: u32, validation: u32, epochs: u32, report: usize): u32;
@external("wasmgrad:training@0.1", "trainer_epoch")
export declare function trainer_epoch(trainer: u32, train: u32, metrics: usize): u32;
@external("wasmgrad:training@0.1", "trainer_step")
export declare function trainer_step(trainer: u32, inputs: usize, nInputs: u32, targets: usize, nTargets: u32, metrics: usize): u32;
@external("wasmgrad:training@0.1", "trainer_backward")
export declare function trainer_backward(trainer: u32, inputs: usize, nInputs: u32, targets: usize, nTargets: u32, metrics: usize): u32;
@external("wasmgrad:training@0.1", "trainer_apply")
export declare function trainer_apply(trainer: u32): u32;
@external("wasmgrad:training@0.1", "trainer_evaluate")
export declare function trainer_evaluate(trainer: u32, dataset: u32, metrics: usize): u32;
@external("wasmgrad:training@0.1", "trainer_progress")
export declare function trainer_progress(trainer: u32, progress: usize): u32;
@external("wasmgrad:training@0.1", "trainer_predict")
export declare function trainer_predict(trainer: u32, inputs: usize, nInputs: u32, outputs: usize): u32;
@external("wasmgrad:training@0.1", "trainer_output")
export declare function trainer_output(trainer: u32, index: u32, info: usize, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "trainer_set")
export declare function trainer_set(trainer: u32, key: usize, keyBytes: u32, value: f64): u32;
@external("wasmgrad:training@0.1", "trainer_parameters")
export declare function trainer_parameters(trainer: u32, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "trainer_set_parameters")
export declare function trainer_set_parameters(trainer: u32, values: usize, bytes: u32): u32;
@external("wasmgrad:training@0.1", "trainer_gradients")
export declare function trainer_gradients(trainer: u32, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "trainer_set_gradients")
export declare function trainer_set_gradients(trainer: u32, values: usize, bytes: u32): u32;
@external("wasmgrad:training@0.1", "trainer_buffers")
export declare function trainer_buffers(trainer: u32, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "trainer_set_buffers")
export declare function trainer_set_buffers(trainer: u32, values: usize, bytes: u32): u32;
@external("wasmgrad:training@0.1", "trainer_checkpoint")
export declare function trainer_checkpoint(trainer: u32, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "trainer_restore")
export declare function trainer_restore(trainer: u32, checkpoint: usize, bytes: u32): u32;
@external("wasmgrad:training@0.1", "trainer_close")
export declare function trainer_close(trainer: u32): u32;
@external("wasmgrad:training@0.1", "process_group")
export declare function process_group(rank: usize, size: usize): u32;
@external("wasmgrad:training@0.1", "run_config")
export declare function run_config(key: usize, keyBytes: u32, buffer: usize, bufferBytes: u32, written: usize): u32;
@external("wasmgrad:training@0.1", "run_report")
export declare function run_report(name: usize, nameBytes: u32, value: f64): u32;
@external("wasmgrad:training@0.1", "last_error")
export declare function last_error(buffer: usize, bufferBytes: u32, written: usize): u32;
// [/generated]
