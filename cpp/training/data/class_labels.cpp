#include "wasmgrad/training/data/class_labels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>

#include "wasmgrad/base/half.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::training {

namespace {

/// Labels are int64 but bounded far below, so that counting them cannot overflow.
constexpr double kMostClasses = std::numeric_limits<std::int32_t>::max();

/// Calls visit(row, label, value) for each label that counts until it returns false: the row is its place in
/// `rows`, the label a double, the value what it was made of. f64 holds every index exactly up to
/// kMostClasses, and larger values stay larger.
template <class T, class Number, class Visit>
void visit_as(const TensorView& column, const RowIndex& rows, Number number, Visit& visit) {
  const std::int64_t all = column.shape().empty() ? 1 : column.shape()[0];
  const std::int64_t width = all == 0 ? 0 : column.numel() / all;
  if (width == 0) return;  // however many rows there are
  const std::int64_t count = rows ? static_cast<std::int64_t>(rows->size()) : all;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = rows ? (*rows)[static_cast<std::size_t>(i)] : i;
    for (std::int64_t at = row * width; at < (row + 1) * width; ++at) {
      T value;  // the bytes need no alignment
      std::memcpy(&value, column.data().data() + static_cast<std::size_t>(at) * sizeof(T), sizeof(T));
      if (!visit(i, static_cast<double>(number(value)), number(value))) return;
    }
  }
}

template <class Visit>
void visit_labels(const TensorView& column, const RowIndex& rows, Visit visit) {
  switch (column.dtype()) {
    case DType::kU8:
      return visit_as<std::uint8_t>(column, rows, std::identity(), visit);
    case DType::kI32:
      return visit_as<std::int32_t>(column, rows, std::identity(), visit);
    case DType::kI64:
      return visit_as<std::int64_t>(column, rows, std::identity(), visit);
    case DType::kF32:
      return visit_as<float>(column, rows, std::identity(), visit);
    case DType::kF64:
      return visit_as<double>(column, rows, std::identity(), visit);
    case DType::kF16:
      return visit_as<std::uint16_t>(column, rows, f16_to_f32, visit);
    case DType::kBF16:
      return visit_as<std::uint16_t>(column, rows, bf16_to_f32, visit);
  }
}

}  // namespace

Expected<std::int64_t> highest_label(const TensorView& column, const RowIndex& rows, IgnoredLabel ignored) {
  double highest = 0;
  Status status;
  visit_labels(column, rows, [&](std::int64_t i, double label, auto value) {
    if (ignored && label == static_cast<double>(*ignored)) return true;
    if (label >= 0 && label < kMostClasses && label == std::floor(label)) {
      highest = std::max(highest, label);
      return true;
    }
    status = Error{Errc::kInvalidArgument,
                   quoted(printable(column.name()), "targets") + ": the label at index " + std::to_string(i) +
                       " is " + std::to_string(value) + "; a class index is a whole number from 0" +
                       (label < 0 ? ", or what ignore_index says" : "")};
    return false;
  });
  if (!status) return status.error();
  return static_cast<std::int64_t>(highest);
}

Error label_beyond(const TensorView& column, const RowIndex& rows, std::int64_t classes, IgnoredLabel ignored,
                   std::string_view source) {
  Error error;
  visit_labels(column, rows, [&](std::int64_t i, double label, auto /*value*/) {
    if (label < static_cast<double>(classes) || (ignored && label == static_cast<double>(*ignored)))
      return true;
    error = {Errc::kInvalidArgument, "the label at index " + std::to_string(i) + " is " +
                                         std::to_string(static_cast<std::int64_t>(label)) + "; " +
                                         std::string(source) + " " + std::to_string(classes) +
                                         " classes, so labels are 0.." + std::to_string(classes - 1)};
    return false;
  });
  return error;
}

}  // namespace wasmgrad::training
