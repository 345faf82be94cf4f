// The safetensors file format: 8 bytes of header length, a JSON header, then the tensors' bytes. Without
// torch.
//
// The reader trusts nothing: sizes are capped, sums checked, and tensors must tile the data exactly.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::training {

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::vector<TensorView> tensors;  ///< named; they point into the bytes that were read
};

/// Errors: kInvalidEncoding, saying what in the file is wrong; kTooLarge when the header is beyond the
/// format's 100 MB; kUnsupportedOperation for an element type that the core does not have.
Expected<Safetensors> read_safetensors(std::span<const std::byte> file);

/// Tensors are laid out by falling element size, so that each is aligned to its own. Errors: kInvalidArgument
/// when a name is empty, reserved or used twice.
Expected<std::vector<std::byte>> write_safetensors(std::span<const TensorView> tensors,
                                                   const std::map<std::string, std::string>& metadata);

}  // namespace wasmgrad::training
