// What a model returned: taken apart into named tensors, and those as bytes. Torch header, private to
// training/torch/.
#pragma once

#include <ATen/core/ivalue.h>

#include <cstdint>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/model/output.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

/// The tensors by the keys of a dict, the fields of a named tuple, or their positions; those of nested ones
/// by the way to them, joined by dots. Errors: kUnsupportedOperation for other values; None counts as left
/// out.
Expected<std::vector<NamedTensor>> outputs_of(const c10::IValue& returned);

/// Whether values of this type can be taken apart so.
bool holds_tensors(const c10::TypePtr& type);

/// What leaves the host, dense, taken off the `budget` in bytes. Errors: kUnsupportedOperation when its type
/// has no DType; kTooLarge beyond the budget.
Expected<Output> output_of(const NamedTensor& output, std::uint64_t& budget);

}  // namespace wasmgrad::training
