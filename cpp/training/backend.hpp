// What a training back end is: it makes models from bytes; models make trainers and predictors.
//
// The interfaces of a guest (abi/) see these abstract classes only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/model/model.hpp"

namespace wasmgrad::training {

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// A checked model of at most `max_bytes` of parameters and buffers. `name` is used in errors only. Errors:
  /// kInvalidEncoding when it is not an archive of that encoding or is damaged, kSecurity when the vetting
  /// refuses it (the operator or construct is named), kInvalidArgument when it has no `forward`, kTooLarge.
  [[nodiscard]] virtual Expected<std::shared_ptr<Model>> load(
      std::span<const std::byte> archive, const std::string& name, std::uint64_t max_bytes,
      ModelEncoding encoding = ModelEncoding::kAutodetect) const = 0;
};

}  // namespace wasmgrad::training
