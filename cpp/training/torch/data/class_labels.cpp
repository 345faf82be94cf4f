#include "wasmgrad/training/torch/data/class_labels.hpp"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/torch/data/dataset_storage.hpp"

namespace wasmgrad::training {

namespace {

/// Labels are int64 but bounded far below, so that counting them cannot overflow.
constexpr double kMostClasses = std::numeric_limits<std::int32_t>::max();

/// Calls visit(i, label), a double, for each row in turn until it returns false. f64 holds every index
/// exactly up to kMostClasses, and larger values stay larger.
template <class T, class Visit>
void visit_as(const at::Tensor& column, const at::Tensor& rows, Visit& visit) {
  const T* values = column.const_data_ptr<T>();
  const std::int64_t* row = rows.defined() ? rows.const_data_ptr<std::int64_t>() : nullptr;
  const std::int64_t count = rows.defined() ? rows.numel() : column.numel();
  for (std::int64_t i = 0; i < count; ++i) {
    if (!visit(i, static_cast<double>(values[row != nullptr ? row[i] : i]))) return;
  }
}

template <class Visit>
void visit_labels(const at::Tensor& column, const at::Tensor& rows, Visit visit) {
  switch (column.scalar_type()) {
    case at::kByte:
      return visit_as<std::uint8_t>(column, rows, visit);
    case at::kInt:
      return visit_as<std::int32_t>(column, rows, visit);
    case at::kLong:
      return visit_as<std::int64_t>(column, rows, visit);
    case at::kDouble:
      return visit_as<double>(column, rows, visit);
    case at::kHalf:
      return visit_as<at::Half>(column, rows, visit);
    case at::kBFloat16:
      return visit_as<at::BFloat16>(column, rows, visit);
    default:
      return visit_as<float>(column, rows, visit);
  }
}

}  // namespace

Expected<std::int64_t> highest_label(const at::Tensor& column, const at::Tensor& rows,
                                     const std::string& name) {
  const std::string what = quoted(name, "targets");
  if (column.dim() > 2 || (column.dim() == 2 && column.size(1) != 1)) {
    return Error{Errc::kInvalidArgument,
                 what + " has shape " + format_shape(column.sizes()) +
                     "; class targets must be one index a sample: [N] or [N, 1]. A loss over positions "
                     "(segmentation) is for the model to compute: losses='model', or \"loss\": "
                     "\"model\" in a guest"};
  }
  double highest = 0;
  Status status;
  visit_labels(column, rows, [&](std::int64_t i, double label) {
    if (label >= 0 && label < kMostClasses && label == std::floor(label)) {
      highest = std::max(highest, label);
      return true;
    }
    std::string shown = std::to_string(label);
    if (!column.is_floating_point()) shown.resize(shown.find('.'));
    status = Error{Errc::kInvalidArgument, what + ": the label at index " + std::to_string(i) + " is " +
                                               shown + "; a class index is a whole number from 0"};
    return false;
  });
  if (!status) return status.error();
  return static_cast<std::int64_t>(highest);
}

Error label_beyond(const at::Tensor& column, const at::Tensor& rows, std::int64_t classes) {
  Error error;
  visit_labels(column, rows, [&](std::int64_t i, double label) {
    if (label < static_cast<double>(classes)) return true;
    error = {Errc::kInvalidArgument, "the label at index " + std::to_string(i) + " is " +
                                         std::to_string(static_cast<std::int64_t>(label)) +
                                         "; the model has " + std::to_string(classes) +
                                         " classes, so labels are 0.." + std::to_string(classes - 1)};
    return false;
  });
  return error;
}

at::Tensor class_indices(const at::Tensor& column) { return column.reshape({-1}).to(at::kLong); }

}  // namespace wasmgrad::training
