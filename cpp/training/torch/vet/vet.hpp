// Decides whether a TorchScript archive may be loaded, without running or unpickling any of it.
//
// A TorchScript file is a program, and parts of it run while it loads. What is not known to be harmless is
// refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/vet/archive.hpp"

namespace wasmgrad::training {

struct VetLimits {
  std::uint64_t max_storage_bytes = std::uint64_t{8} << 30;  ///< all tensors together
  std::uint64_t max_code_bytes = std::uint64_t{16} << 20;    ///< all source files together
  std::uint64_t max_nesting = 200;                           ///< brackets, indentation, pickle containers
};

/// Errors: kInvalidEncoding (not a zip, truncated, duplicate or inconsistent records, tensor larger than its
/// record, malformed pickle), kSecurity (an operator, class, hook or pickle global that is not on the
/// allow-list, named with where it stands), kTooLarge (a bound above), kInvalidArgument (no `forward`).
Status vet_archive(std::span<const std::byte> archive, const VetLimits& limits = {});
/// The same for an archive whose container is read already.
Status vet_archive(const vet::Archive& archive, const VetLimits& limits = {});

}  // namespace wasmgrad::training
