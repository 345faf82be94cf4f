// What a trainer shares of its model besides the trained parameters: buffers as one array, and every tensor
// by its name.
#include <ATen/ops/isfinite.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"
#include "wasmgrad/training/torch/loop/trainer_state.hpp"
#include "wasmgrad/training/torch/model/outputs.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

/// The buffer's elements in order, as f32.
at::Tensor as_floats(const at::Tensor& buffer) { return buffer.detach().to(at::kFloat).contiguous(); }

Status check_size(std::uint64_t given, std::uint64_t expected) {
  if (given == expected) return {};
  return invalid("the buffers take " + std::to_string(expected) + " bytes; the buffer has " +
                 std::to_string(given));
}

/// The bits: a NaN that stays is no change.
bool is_same(float a, float b) { return std::memcmp(&a, &b, sizeof(float)) == 0; }

/// Checks what one buffer is to hold, from element `first` of all on. Returns whether anything changes.
Expected<bool> changes(const at::Tensor& now, std::span<const std::byte> values, std::size_t first) {
  bool differs = false;
  const auto* present = now.const_data_ptr<float>();
  for (std::size_t i = 0; i < values.size() / sizeof(float); ++i) {
    float value = 0;
    std::memcpy(&value, values.data() + i * sizeof(float), sizeof(float));
    if (is_same(value, present[i])) continue;
    if (!std::isfinite(value)) {
      return invalid("the buffers: the value at index " + std::to_string(first + i) + " is " +
                     std::to_string(value) + "; all that change must be finite");
    }
    differs = true;
  }
  return differs;
}

/// Writes the values that differ from `now`.
void write_buffer(const at::Tensor& buffer, const at::Tensor& now, std::span<const std::byte> values) {
  at::Tensor given = now.clone();
  std::memcpy(given.mutable_data_ptr(), values.data(), values.size());
  const at::Tensor dense = buffer.detach();
  if (buffer.scalar_type() == at::kFloat) {
    dense.copy_(given);
  } else {
    dense.copy_(given.to(buffer.scalar_type()).where(given.ne(now), dense));
  }
}

}  // namespace

std::uint64_t TorchTrainer::buffer_bytes() const {
  std::uint64_t elements = 0;
  for (const NamedTensor& buffer : state_->learner.model().storage().floating_buffers())
    elements += static_cast<std::uint64_t>(buffer.tensor.numel());
  return elements * sizeof(float);
}

Status TorchTrainer::buffers(std::span<std::byte> to) const {
  return guarded("buffers", [&]() -> Status {
    WASMGRAD_CHECK(check_size(to.size(), buffer_bytes()));
    for (const NamedTensor& buffer : state_->learner.model().storage().floating_buffers()) {
      const at::Tensor values = as_floats(buffer.tensor);
      if (values.nbytes() != 0) std::memcpy(to.data(), values.const_data_ptr(), values.nbytes());
      to = to.subspan(values.nbytes());
    }
    return {};
  });
}

Status TorchTrainer::set_buffers(std::span<const std::byte> values) {
  return guarded("buffers", [&]() -> Status {
    WASMGRAD_CHECK(check_size(values.size(), buffer_bytes()));
    const c10::NoGradGuard no_grad;
    struct Change {
      at::Tensor buffer, now;
      std::span<const std::byte> values;
    };
    std::vector<Change> found;
    std::size_t first = 0;
    for (const NamedTensor& buffer : state_->learner.model().storage().floating_buffers()) {
      const at::Tensor now = as_floats(buffer.tensor);
      const auto given = values.subspan(first * sizeof(float), now.nbytes());
      WASMGRAD_ASSIGN(const bool differs, changes(now, given, first));
      if (differs) found.push_back({buffer.tensor, now, given});
      first += static_cast<std::size_t>(now.numel());
    }
    state_->best.adopt(state_->learner.model_tensors());
    state_->shared = false;
    for (const Change& change : found) write_buffer(change.buffer, change.now, change.values);
    return {};
  });
}

Expected<std::vector<Output>> TorchTrainer::state() const {
  return guarded("state", [&]() -> Expected<std::vector<Output>> {
    std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
    std::vector<Output> outputs;
    for (const NamedTensor& entry : state_->learner.model().storage().tensors()) {
      WASMGRAD_ASSIGN(Output output, output_of(entry, unlimited));
      outputs.push_back(std::move(output));
    }
    return outputs;
  });
}

Status TorchTrainer::set_state(std::span<const TensorView> tensors) {
  return guarded("state", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    std::map<std::string_view, at::Tensor> given;
    for (const TensorView& view : tensors) {
      if (!given.emplace(view.name(), tensor_over(view)).second)
        return invalid("state: tensor '" + view.name() + "' is given twice");
    }
    std::vector<std::pair<at::Tensor, at::Tensor>> copies;
    for (const NamedTensor& entry : state_->learner.model().storage().tensors()) {
      const auto found = given.find(entry.name);
      if (found == given.end()) return invalid("state: tensor '" + entry.name + "' of the model is missing");
      if (found->second.sizes() != entry.tensor.sizes()) {
        return invalid("state: tensor '" + entry.name + "' has shape " + format_shape(found->second.sizes()) +
                       "; the model's has " + format_shape(entry.tensor.sizes()));
      }
      const at::Tensor converted = found->second.to(entry.tensor.scalar_type());
      if (entry.tensor.requires_grad() && !converted.isfinite().all().item<bool>())
        return invalid("state: tensor '" + entry.name + "' is not finite; trained parameters must be");
      copies.emplace_back(entry.tensor.detach(), converted);
      given.erase(found);
    }
    if (!given.empty())
      return invalid("state: the model has no tensor '" + std::string(given.begin()->first) + "'");
    state_->best.adopt(state_->learner.model_tensors());
    state_->shared = false;
    for (const auto& [target, source] : copies)
      if (!target.equal(source)) target.copy_(source);
    return {};
  });
}

}  // namespace wasmgrad::training
