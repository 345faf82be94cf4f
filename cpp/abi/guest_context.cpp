#include "wasmgrad/abi/guest_context.hpp"

#include <cstdint>

namespace wasmgrad::abi {

namespace {

using Bytes = std::vector<std::byte>;

Expected<std::optional<Bytes>> read_own(const HostConfig& config) {
  if (!config.resume) return std::optional<Bytes>();
  WASMGRAD_ASSIGN(Bytes bytes, read_file(*config.resume, config.max_model_file_bytes * 4));
  return std::optional(std::move(bytes));
}

}  // namespace

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
