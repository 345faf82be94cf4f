// Tensor records of `wasmgrad:training@0.1` and wasi-nn in a guest's memory, checked, as views of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::abi {

/// Most tensors that one list may hold.
inline constexpr std::uint32_t kMaxTensors = 1024;
/// Longest name of a tensor, in bytes.
inline constexpr std::uint32_t kMaxNameBytes = 1024;

/// The 20-byte record at `address`. The view carries `name`, and points into `memory`. Errors:
/// kInvalidArgument for a record, dimensions or data out of bounds, an unknown type, or sizes that contradict
/// each other.
Expected<TensorView> read_tensor_record(const GuestMemory& memory, std::uint32_t address, std::string name);

/// The `count` records with names, 28 bytes each, at `address`. `list` names them in errors ("inputs").
/// Either all have a name or none has; names are valid UTF-8 and different from each other. Errors:
/// kInvalidArgument, kTooLarge beyond kMaxTensors; the tensor is named.
Expected<std::vector<TensorView>> read_named_tensors(const GuestMemory& memory, std::uint32_t address,
                                                     std::uint32_t count, std::string_view list);

/// A name, or another short text: valid UTF-8 of at most kMaxNameBytes. Errors: kInvalidArgument.
Expected<std::string> read_name(const GuestMemory& memory, std::uint32_t address, std::uint32_t bytes,
                                std::string_view what);

}  // namespace wasmgrad::abi
