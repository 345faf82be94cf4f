// What trainers exchange with their guests besides training: predictions, hyper-parameters, parameters,
// buffers, checkpoints.
#include <algorithm>
#include <string>
#include <utility>

#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/tensor_records.hpp"
#include "wasmgrad/abi/v1/trainers.hpp"
#include "wasmgrad/training/options/option_table.hpp"

namespace wasmgrad::abi::v1 {

namespace {

// What the owner chose for the hyper-parameter that trainer_set calls `key`, if anything.
std::optional<double> owners_choice(const training::Overrides& owner, std::string_view key) {
  std::optional<double> choice;
  training::visit_options([&](const training::OptionInfo& info, auto, auto own) {
    using T = std::remove_cvref_t<decltype(own(owner))>;
    if constexpr (std::is_same_v<T, std::optional<double>>) {
      if (info.settable && info.name == key) choice = own(owner);
    }
  });
  return choice;
}

// A guest can be told of it: its rank and dimensions have a place in wasmgrad_output_info.
Status check_describable(const training::Output& output) {
  if (output.shape.size() <= TensorView::kMaxRank &&
      std::ranges::all_of(output.shape, [](std::int64_t dim) { return dim <= UINT32_MAX; })) {
    return {};
  }
  return Error{Errc::kUnsupportedOperation, "output '" + output.name + "' has the shape " +
                                                format_shape(output.shape) +
                                                ", which is beyond what a guest can be told"};
}

}  // namespace

Status Trainers::predict(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                         std::uint32_t n_inputs, std::uint32_t outputs) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, outputs, "outputs"));
  WASMGRAD_ASSIGN(const auto views, read_named_tensors(memory, inputs, n_inputs, "inputs"));
  WASMGRAD_ASSIGN(auto predicted, resource->trainer.predict(views));
  std::uint64_t bytes = 0;
  for (const training::Output& output : predicted) {
    WASMGRAD_CHECK(check_describable(output));
    bytes += output.bytes.size();
  }
  WASMGRAD_ASSIGN(resource->outputs_charge, context_.budget.charge(bytes, "the prediction"));
  resource->outputs = std::move(predicted);
  result.write(static_cast<std::uint32_t>(resource->outputs.size()));
  return {};
}

Status Trainers::output(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t index,
                        std::uint32_t info, std::uint32_t buffer, std::uint32_t buffer_bytes,
                        std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto described, ValueResult<layout::OutputInfo>::at(memory, info, "info"));
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  if (index >= resource->outputs.size()) {
    return Error{Errc::kInvalidArgument, "output " + std::to_string(index) + " was asked for; there are " +
                                             std::to_string(resource->outputs.size())};
  }
  const training::Output& output = resource->outputs[index];
  layout::OutputInfo shape{
      static_cast<std::uint32_t>(output.dtype), static_cast<std::uint32_t>(output.shape.size()), {}};
  std::ranges::transform(output.shape, shape.dims,
                         [](std::int64_t dim) { return static_cast<std::uint32_t>(dim); });
  WASMGRAD_CHECK(result.write(output.bytes));
  described.write(shape);
  return {};
}

Status Trainers::set(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t key,
                     std::uint32_t key_bytes, double value) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const std::string name, read_name(memory, key, key_bytes, "key"));
  if (const auto chosen = owners_choice(context_.config.overrides, name)) {
    return Error{Errc::kUnsupportedOperation,
                 name + " was decided by the owner, who set it to " + std::to_string(*chosen)};
  }
  WASMGRAD_CHECK(resource->trainer.set(name, value));
  resource->change();
  return {};
}

Status Trainers::parameters(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                            std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  return result.fill(resource->trainer.parameter_bytes(),
                     [&](std::span<std::byte> to) { return resource->trainer.parameters(to); });
}

Status Trainers::set_parameters(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t values,
                                std::uint32_t bytes) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto given, memory.bytes(values, bytes, "values"));
  return resource->change().set_parameters(given);
}

Status Trainers::gradients(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                           std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  return result.fill(resource->trainer.parameter_bytes(),
                     [&](std::span<std::byte> to) { return resource->trainer.gradients(to); });
}

Status Trainers::set_gradients(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t values,
                               std::uint32_t bytes) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto given, memory.bytes(values, bytes, "values"));
  return resource->change().set_gradients(given);
}

Status Trainers::buffers(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                         std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  return result.fill(resource->trainer.buffer_bytes(),
                     [&](std::span<std::byte> to) { return resource->trainer.buffers(to); });
}

Status Trainers::set_buffers(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t values,
                             std::uint32_t bytes) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto given, memory.bytes(values, bytes, "values"));
  return resource->change().set_buffers(given);
}

Status Trainers::checkpoint(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                            std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  return resource->checkpoint.answer(result, context_.budget, "the checkpoint",
                                     [&] { return resource->trainer.checkpoint(); });
}

Status Trainers::restore(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t checkpoint,
                         std::uint32_t bytes) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto given, memory.bytes(checkpoint, bytes, "checkpoint"));
  return resource->change().restore(given);
}

}  // namespace wasmgrad::abi::v1
