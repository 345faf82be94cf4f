// Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h: each function of the
// component's interface, the core function behind it, its flat parameters, and the form of its result.
#pragma once

#include "wasmgrad/abi/component/training_row.hpp"

namespace wasmgrad::abi::component {

// clang-format off
inline constexpr TrainingRow kTrainingRows[] = {
    {"[static]model.load", "model_load", "iiii", TrainingResult::kNumber},
    {"[static]model.load-by-name", "model_load_by_name", "iii", TrainingResult::kNumber},
    {"[method]model.export", "model_export", "ii", TrainingResult::kBytes},
    {"[static]dataset.create", "dataset_create", "", TrainingResult::kNumber},
    {"[method]dataset.append", "dataset_append", "iiiii", TrainingResult::kNone},
    {"[method]dataset.split", "dataset_split", "iiiI", TrainingResult::kHandles},
    {"[method]dataset.size", "dataset_size", "i", TrainingResult::kWideNumber},
    {"[static]trainer.create", "trainer_create", "iii", TrainingResult::kNumber},
    {"[method]trainer.fit", "trainer_fit", "iioi", TrainingResult::kFitReport},
    {"[method]trainer.epoch", "trainer_epoch", "ii", TrainingResult::kMetrics},
    {"[method]trainer.step", "trainer_step", "iiiii", TrainingResult::kMetrics},
    {"[method]trainer.backward", "trainer_backward", "iiiii", TrainingResult::kMetrics},
    {"[method]trainer.apply", "trainer_apply", "i", TrainingResult::kNone},
    {"[method]trainer.evaluate", "trainer_evaluate", "ii", TrainingResult::kMetrics},
    {"[method]trainer.progress", "trainer_progress", "i", TrainingResult::kProgress},
    {"[method]trainer.predict", "trainer_predict", "iii", TrainingResult::kNumber},
    {"[method]trainer.output", "trainer_output", "ii", TrainingResult::kTensor},
    {"[method]trainer.set", "trainer_set", "iiid", TrainingResult::kNone},
    {"[method]trainer.parameters", "trainer_parameters", "i", TrainingResult::kFloats},
    {"[method]trainer.set-parameters", "trainer_set_parameters", "iF", TrainingResult::kNone},
    {"[method]trainer.gradients", "trainer_gradients", "i", TrainingResult::kFloats},
    {"[method]trainer.set-gradients", "trainer_set_gradients", "iF", TrainingResult::kNone},
    {"[method]trainer.buffers", "trainer_buffers", "i", TrainingResult::kFloats},
    {"[method]trainer.set-buffers", "trainer_set_buffers", "iF", TrainingResult::kNone},
    {"[method]trainer.checkpoint", "trainer_checkpoint", "i", TrainingResult::kBytes},
    {"[method]trainer.restore", "trainer_restore", "iii", TrainingResult::kNone},
    {"[static]process.group", "process_group", "", TrainingResult::kPair},
    {"[static]run.config", "run_config", "ii", TrainingResult::kNumber},
    {"[static]run.report", "run_report", "iid", TrainingResult::kNone},
};
// clang-format on

}  // namespace wasmgrad::abi::component
