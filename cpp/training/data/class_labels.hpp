// Class indices as they come: whole numbers of any type, one or more a sample.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/data/dataset.hpp"

namespace wasmgrad::training {

/// The class index that does not count, if there is one.
using IgnoredLabel = std::optional<std::int64_t>;

/// The highest of the class indices in `column`, [N, ...], at `rows`, but for those that do not count; 0 when
/// there is no other. Errors: kInvalidArgument, naming the first that is negative or not a whole number.
Expected<std::int64_t> highest_label(const TensorView& column, const RowIndex& rows,
                                     IgnoredLabel ignored = {});

/// Error for the first label at `rows` of `column`, which highest_label() passed, that is not below
/// `classes`: there is one. `source` says who set the number of classes.
Error label_beyond(const TensorView& column, const RowIndex& rows, std::int64_t classes,
                   IgnoredLabel ignored = {}, std::string_view source = "the model has");

}  // namespace wasmgrad::training
