// Class indices as they come: whole numbers of any type, one a sample. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

/// The highest of the class indices in `column`, [N] or [N, 1], at `rows` (undefined: all). Errors:
/// kInvalidArgument for another shape, or naming the first that is negative or not a whole number.
Expected<std::int64_t> highest_label(const at::Tensor& column, const at::Tensor& rows,
                                     const std::string& name);

/// Error for the first label at `rows` of `column`, which highest_label() passed, that is not below
/// `classes`: there is one.
Error label_beyond(const at::Tensor& column, const at::Tensor& rows, std::int64_t classes);

/// int64 [N] of a column that highest_label() passed.
at::Tensor class_indices(const at::Tensor& column);

}  // namespace wasmgrad::training
