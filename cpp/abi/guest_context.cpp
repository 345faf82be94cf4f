#include "wasmgrad/abi/guest_context.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "wasmgrad/training/loop/trainer.hpp"
#include "wasmgrad/training/state/safetensors.hpp"

namespace wasmgrad::abi {

namespace {

using Bytes = std::vector<std::byte>;

Expected<std::optional<Bytes>> read_own(const HostConfig& config) {
  if (!config.resume) return std::optional<Bytes>();
  WASMGRAD_ASSIGN(Bytes bytes, read_file(*config.resume, config.max_model_file_bytes * 4));
  return std::optional(std::move(bytes));
}

}  // namespace

Status GuestContext::set_weights(training::Trainer& trainer) const {
  if (!config.weights) return {};
  WASMGRAD_ASSIGN(const Bytes file, read_file(*config.weights, config.max_model_file_bytes));
  WASMGRAD_ASSIGN(training::Safetensors weights, training::read_safetensors(file));
  const std::vector<std::string> branches = trainer.model().branches();
  std::vector<training::Output> present;
  if (!branches.empty()) {
    WASMGRAD_ASSIGN(present, trainer.state());
  }
  for (const training::Output& tensor : present) {
    if (std::ranges::find(branches, tensor.name) == branches.end()) continue;
    WASMGRAD_ASSIGN(TensorView view,
                    TensorView::create(tensor.name, tensor.dtype, tensor.shape, tensor.bytes));
    weights.tensors.push_back(std::move(view));
  }
  return trainer.set_state(weights.tensors);
}

Expected<std::optional<Bytes>> GuestContext::read_resumed() const {
  const training::Replication& replication = config.replication;
  if (!replication.several()) return read_own(config);
  training::Collective& group = *replication.group;
  Expected<std::optional<Bytes>> own = std::optional<Bytes>();
  if (group.rank() == 0) own = read_own(config);
  training::Share mine;
  mine.failed = !own;
  const auto agreed = group.meet({training::Operation::kResume}, mine);
  if (!own) return own.error();
  if (!agreed) return agreed.error();
  // 0: there is none. No checkpoint is empty.
  std::uint64_t size = *own ? (*own)->size() : 0;
  WASMGRAD_CHECK(group.copy_from_first(std::as_writable_bytes(std::span(&size, 1))));
  if (size == 0) return std::optional<Bytes>();
  Bytes bytes = *own ? std::move(**own) : Bytes(size);
  WASMGRAD_CHECK(group.copy_from_first(bytes));
  return std::optional(std::move(bytes));
}

}  // namespace wasmgrad::abi
