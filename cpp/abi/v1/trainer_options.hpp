// The options that a guest gives a trainer: JSON, described in docs/training-abi.md#options.
#pragma once

#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::abi::v1 {

/// Options that are left out have their defaults, but for whole numbers as inputs, which reach the model as
/// they are. Ranges are not judged: validate() does, after the owner's overrides. Errors: kInvalidEncoding
/// when it is not JSON; kInvalidArgument, with the key's path, for an unknown or repeated key and for a value
/// that is not of the key's type.
Expected<training::TrainerOptions> read_trainer_options(std::string_view text);

}  // namespace wasmgrad::abi::v1
