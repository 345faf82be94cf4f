// wasmgrad:training@0.1 for one guest: its models, datasets and trainers, and the functions that reach them.
//
// Engine-neutral: it sees guest memory and scalars. Each group of functions has a class of its own, whose
// methods have the names and arguments of the imports; guests/sdk/include/wasmgrad/training_v1.h says what
// they mean.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/v1/datasets.hpp"
#include "wasmgrad/abi/v1/models.hpp"
#include "wasmgrad/abi/v1/trainers.hpp"
#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::abi::v1 {

class Session {
 public:
  /// `context` outlives it.
  explicit Session(GuestContext& context);

  /// Every import of the interface. They refer to this session, which must outlive them.
  [[nodiscard]] std::vector<HostFunction> functions();

  /// The guest has ended: the run of the trainer that trained last; null when none did.
  std::shared_ptr<TrainerRun> finish() { return trainers_.finish(); }

 private:
  Status process_group(const GuestMemory& memory, std::uint32_t rank, std::uint32_t size);
  Status run_config(const GuestMemory& memory, std::uint32_t key, std::uint32_t key_bytes,
                    std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written);
  Status run_report(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes, double value);
  Status copy_last_error(const GuestMemory& memory, std::uint32_t buffer, std::uint32_t buffer_bytes,
                         std::uint32_t written);

  GuestContext& context_;
  LastError last_error_;
  LastError unread_error_;  // of last_error itself, which must not replace what it could not hand over
  Models models_;
  Datasets datasets_;
  Trainers trainers_;
};

}  // namespace wasmgrad::abi::v1
