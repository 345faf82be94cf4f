// One call of either compatibility import, from arguments to saved model. Private to abi/.
#pragma once

#include <optional>

#include "wasmgrad/abi/compat/arguments.hpp"
#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/host_config.hpp"
#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi {

/// Trains as the arguments say and saves the model where the guest or its owner wants it; `outcome` is the
/// run's then. Errors: kInvalidArgument and kNotFound for what the guest gave; those of training::Backend,
/// Trainer::fit() and files; kInterrupted when the owner asked to stop.
Status train_call(GuestContext& context, std::optional<TrainingOutcome>& outcome, GuestMemory memory,
                  const TrainArguments& arguments);

}  // namespace wasmgrad::abi
