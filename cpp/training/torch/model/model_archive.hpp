// TorchScript archives: a vetted one as a module, a module as one that can be read back. Torch header,
// private to training/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/vet/archive.hpp"

namespace wasmgrad::training {

/// Vets and loads the archive in `bytes`, whose container `archive` is. Errors: those of vet_archive();
/// kInvalidEncoding when torch cannot load it, or its record of names does not fit it.
Expected<TorchModel::Storage> load_torchscript(std::span<const std::byte> bytes, const vet::Archive& archive,
                                               std::uint64_t max_bytes);

}  // namespace wasmgrad::training
