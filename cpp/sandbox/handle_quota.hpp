// How many file descriptors guest code may open: kept by the process's own limit on them. It must not know
// an engine.
#pragma once

#include <cstdint>
#include <optional>

namespace wasmgrad::sandbox {

/// To be told whenever guest code begins and ends. While guest code runs, the process can open exactly as
/// many descriptors as the quota has left; while host code runs, as many as its hard limit allows.
class HandleQuota {
 public:
  /// No number: nothing is limited.
  explicit HandleQuota(std::optional<std::uint32_t> handles) : left_(handles) {}

  void enter_guest() noexcept;
  void leave_guest() noexcept;

 private:
  std::optional<std::uint32_t> left_;
};

}  // namespace wasmgrad::sandbox
