/* The functions of wasmgrad:training@0.1 as a wasm module sees them: FUNCTION(name, (parameters), (their
 * names)). Addresses are numbers here, so that a case can pass any. */
FUNCTION(model_load, (address bytes, uint32_t size, uint32_t encoding, uint32_t target, address model),
         (bytes, size, encoding, target, model))
FUNCTION(model_load_by_name, (address name, uint32_t name_bytes, uint32_t target, address model),
         (name, name_bytes, target, model))
FUNCTION(model_export,
         (uint32_t model, uint32_t encoding, address buffer, uint32_t buffer_bytes, address written),
         (model, encoding, buffer, buffer_bytes, written))
FUNCTION(model_close, (uint32_t model), (model))

FUNCTION(dataset_create, (address dataset), (dataset))
FUNCTION(dataset_append,
         (uint32_t dataset, address inputs, uint32_t n_inputs, address targets, uint32_t n_targets),
         (dataset, inputs, n_inputs, targets, n_targets))
FUNCTION(dataset_split, (uint32_t dataset, address fractions, uint32_t n, uint64_t seed, address parts),
         (dataset, fractions, n, seed, parts))
FUNCTION(dataset_size, (uint32_t dataset, address rows), (dataset, rows))
FUNCTION(dataset_close, (uint32_t dataset), (dataset))

FUNCTION(trainer_create, (uint32_t model, address options, uint32_t options_bytes, address trainer),
         (model, options, options_bytes, trainer))
FUNCTION(trainer_fit,
         (uint32_t trainer, uint32_t train, uint32_t validation, uint32_t epochs, address report),
         (trainer, train, validation, epochs, report))
FUNCTION(trainer_epoch, (uint32_t trainer, uint32_t train, address metrics), (trainer, train, metrics))
FUNCTION(trainer_step,
         (uint32_t trainer, address inputs, uint32_t n_inputs, address targets, uint32_t n_targets,
          address metrics),
         (trainer, inputs, n_inputs, targets, n_targets, metrics))
FUNCTION(trainer_backward,
         (uint32_t trainer, address inputs, uint32_t n_inputs, address targets, uint32_t n_targets,
          address metrics),
         (trainer, inputs, n_inputs, targets, n_targets, metrics))
FUNCTION(trainer_apply, (uint32_t trainer), (trainer))
FUNCTION(trainer_evaluate, (uint32_t trainer, uint32_t dataset, address metrics), (trainer, dataset, metrics))
FUNCTION(trainer_progress, (uint32_t trainer, address progress), (trainer, progress))
FUNCTION(trainer_predict, (uint32_t trainer, address inputs, uint32_t n_inputs, address outputs),
         (trainer, inputs, n_inputs, outputs))
FUNCTION(trainer_output,
         (uint32_t trainer, uint32_t index, address info, address buffer, uint32_t buffer_bytes,
          address written),
         (trainer, index, info, buffer, buffer_bytes, written))
FUNCTION(trainer_set, (uint32_t trainer, address key, uint32_t key_bytes, double value),
         (trainer, key, key_bytes, value))
FUNCTION(trainer_parameters, (uint32_t trainer, address buffer, uint32_t buffer_bytes, address written),
         (trainer, buffer, buffer_bytes, written))
FUNCTION(trainer_set_parameters, (uint32_t trainer, address values, uint32_t bytes), (trainer, values, bytes))
FUNCTION(trainer_gradients, (uint32_t trainer, address buffer, uint32_t buffer_bytes, address written),
         (trainer, buffer, buffer_bytes, written))
FUNCTION(trainer_set_gradients, (uint32_t trainer, address values, uint32_t bytes), (trainer, values, bytes))
FUNCTION(trainer_buffers, (uint32_t trainer, address buffer, uint32_t buffer_bytes, address written),
         (trainer, buffer, buffer_bytes, written))
FUNCTION(trainer_set_buffers, (uint32_t trainer, address values, uint32_t bytes), (trainer, values, bytes))
FUNCTION(trainer_checkpoint, (uint32_t trainer, address buffer, uint32_t buffer_bytes, address written),
         (trainer, buffer, buffer_bytes, written))
FUNCTION(trainer_restore, (uint32_t trainer, address checkpoint, uint32_t bytes),
         (trainer, checkpoint, bytes))
FUNCTION(trainer_close, (uint32_t trainer), (trainer))

FUNCTION(process_group, (address rank, address size), (rank, size))

FUNCTION(run_config,
         (address key, uint32_t key_bytes, address buffer, uint32_t buffer_bytes, address written),
         (key, key_bytes, buffer, buffer_bytes, written))
FUNCTION(run_report, (address name, uint32_t name_bytes, double value), (name, name_bytes, value))

FUNCTION(last_error, (address buffer, uint32_t buffer_bytes, address written),
         (buffer, buffer_bytes, written))
