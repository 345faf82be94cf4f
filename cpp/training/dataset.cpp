#include "wasmgrad/training/dataset.hpp"

#include <ATen/ops/empty.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "wasmgrad/training/dataset_storage.hpp"
#include "wasmgrad/training/dtype_map.hpp"
#include "wasmgrad/training/torch_error.hpp"

namespace wasmgrad::training {

namespace {

std::string quoted(const TensorView& view, std::string_view fallback) {
  return view.name().empty() ? std::string(fallback) : "'" + view.name() + "'";
}

/// Class indices are stored as int64 but bounded far below, so that counting them cannot overflow.
constexpr double kMostClasses = std::numeric_limits<std::int32_t>::max();

Expected<at::Tensor> class_indices(const TensorView& targets) {
  const auto& shape = targets.shape();
  const std::string what = quoted(targets, "targets");
  if (shape.size() > 2 || (shape.size() == 2 && shape[1] != 1)) {
    return Error{Errc::kInvalidArgument, what + " has shape " + format_shape(shape) +
                                             "; class targets must be one index a sample: [N] or [N, 1]"};
  }
  const at::Tensor values = copy_of(targets).reshape({-1});
  const bool whole_type = !values.is_floating_point();
  // f64 holds every index exactly up to kMostClasses, and larger values stay larger.
  const at::Tensor checked = values.to(at::kDouble);
  const double* value = checked.const_data_ptr<double>();
  for (std::int64_t i = 0; i < checked.numel(); ++i) {
    if (value[i] >= 0 && value[i] < kMostClasses && (whole_type || value[i] == std::floor(value[i])))
      continue;
    std::string shown = std::to_string(value[i]);
    if (whole_type) shown.resize(shown.find('.'));
    return Error{Errc::kInvalidArgument, what + ": the label at index " + std::to_string(i) + " is " + shown +
                                             "; a class index is a whole number from 0"};
  }
  return values.to(at::kLong);
}

}  // namespace

at::Tensor copy_of(const TensorView& view) {
  at::Tensor tensor = at::empty(view.shape(), to_scalar_type(view.dtype()));
  if (!view.data().empty()) std::memcpy(tensor.mutable_data_ptr(), view.data().data(), view.data().size());
  return tensor;
}

at::Tensor model_rows(const at::Tensor& inputs, std::int64_t begin, std::int64_t count) {
  const at::Tensor rows = inputs.narrow(0, begin, count);
  return rows.scalar_type() == at::kFloat ? rows.clone() : rows;
}

Expected<at::Tensor> targets_for(const TensorView& targets, LossKind loss) {
  if (is_classification(loss)) return class_indices(targets);
  return copy_of(targets).to(at::kFloat);
}

Expected<Dataset> Dataset::create(const TensorView& inputs, const TensorView& targets, LossKind loss,
                                  std::uint64_t max_bytes) {
  return guarded("dataset", [&]() -> Expected<Dataset> {
    const std::string inputs_name = quoted(inputs, "inputs");
    const std::string targets_name = quoted(targets, "targets");
    for (const auto& [view, name] : {std::pair{&inputs, &inputs_name}, std::pair{&targets, &targets_name}}) {
      if (view->shape().empty()) {
        return Error{Errc::kInvalidArgument, *name + " is a scalar; a dataset needs one row a sample"};
      }
    }
    const std::int64_t samples = inputs.shape()[0];
    if (samples != targets.shape()[0]) {
      return Error{Errc::kInvalidArgument, inputs_name + " has " + std::to_string(samples) + " samples and " +
                                               targets_name + " has " + std::to_string(targets.shape()[0]) +
                                               "; both must have as many"};
    }
    if (inputs.numel() == 0 || targets.numel() == 0) {
      return Error{Errc::kInvalidArgument, inputs_name + " of shape " + format_shape(inputs.shape()) +
                                               " with " + targets_name + " of shape " +
                                               format_shape(targets.shape()) +
                                               " is empty; at least one sample is needed"};
    }
    const std::uint64_t target_size = is_classification(loss) ? sizeof(std::int64_t) : sizeof(float);
    const std::uint64_t bytes =
        inputs.data().size() + static_cast<std::uint64_t>(targets.numel()) * target_size;
    if (bytes > max_bytes) {
      return Error{Errc::kTooLarge, inputs_name + " and " + targets_name + " take " + std::to_string(bytes) +
                                        " bytes on the host; " + std::to_string(max_bytes) + " are allowed"};
    }
    auto storage = std::make_shared<Storage>();
    WASMGRAD_ASSIGN(storage->targets, targets_for(targets, loss));
    if (is_classification(loss)) storage->classes = storage->targets.max().item<std::int64_t>() + 1;
    storage->inputs = copy_of(inputs);
    return Dataset(std::move(storage));
  });
}

std::int64_t Dataset::size() const noexcept { return storage_->inputs.size(0); }

std::vector<std::int64_t> Dataset::sample_shape() const { return storage_->inputs.sizes().slice(1).vec(); }

std::uint64_t Dataset::bytes() const noexcept {
  return storage_->inputs.nbytes() + storage_->targets.nbytes();
}

std::int64_t Dataset::classes() const noexcept { return storage_->classes; }

}  // namespace wasmgrad::training
