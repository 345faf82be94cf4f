// The debug records beside source files, which map compiled code back to the author's lines.
//
// torch unpickles them while it formats an error message, inside a function that may not throw, and trusts
// the indices in them.
#pragma once

#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/vet/pickle.hpp"

namespace wasmgrad::training::vet {

/// Checks that `bytes` is a table of source ranges whose text indices and positions all lie inside its texts.
/// Errors: kInvalidEncoding, kSecurity, kTooLarge, as read_pickle.
Status check_source_ranges(std::string_view bytes, const PickleLimits& limits);

}  // namespace wasmgrad::training::vet
