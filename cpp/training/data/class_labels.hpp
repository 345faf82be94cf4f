// Class indices as they come: whole numbers of any type, one a sample.
#pragma once

#include <cstdint>
#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/data/dataset.hpp"

namespace wasmgrad::training {

/// The highest of the class indices in `column`, [N] or [N, 1], at `rows`. Errors: kInvalidArgument for
/// another shape, or naming the first that is negative or not a whole number.
Expected<std::int64_t> highest_label(const TensorView& column, const RowIndex& rows);

/// Error for the first label at `rows` of `column`, which highest_label() passed, that is not below
/// `classes`: there is one. `source` says who set the number of classes.
Error label_beyond(const TensorView& column, const RowIndex& rows, std::int64_t classes,
                   std::string_view source = "the model has");

}  // namespace wasmgrad::training
