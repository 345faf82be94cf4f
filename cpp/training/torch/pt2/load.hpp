// Makes a TorchScript module from a `torch.export` program (.pt2) without running or unpickling any of it.
//
// The graph is read as data, each operator checked against the allow-list of vet/operators.hpp, and built
// anew. What training does with a model, it does with both formats alike from here on. Torch header, private
// to training/.
#pragma once

#include <cstdint>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/vet/archive.hpp"

namespace wasmgrad::training::pt2 {

/// Whether the archive says that it is a torch.export program.
bool is_exported(const vet::Archive& archive) noexcept;

/// The module: parameters and buffers under their names or what TorchScript carries for them, and a `forward`
/// of one argument a user input that returns a Tensor, a tuple of Tensors or a Dict[str, Tensor]; for
/// inference a tuple of all tensors. Batch norm, dropout and the like follow the module's mode as far as they
/// were recorded in training mode (recorded_mode.hpp); buffers change in training mode only.
///
/// Errors: kInvalidEncoding (not what torch.export.save writes, names that are undefined or defined twice,
/// tensors outside their records), kSecurity (an operator that is not on the allow-list, by name; a needed
/// tensor that is a pickle; native code), kUnsupportedOperation (higher-order operators, inputs or outputs
/// that are not tensors), kInvalidArgument (a fixed batch size, which cannot be trained), kTooLarge. Throws
/// what torch throws.
Expected<TorchModel::Storage> load_exported(const vet::Archive& archive, std::uint64_t max_bytes,
                                            ModelUse use);

}  // namespace wasmgrad::training::pt2
