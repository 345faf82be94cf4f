// A result that is costly to make and read in two calls: one asks for its size, the next one takes it.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "wasmgrad/abi/budget.hpp"
#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi::v1 {

class HeldBytes {
 public:
  /// Answers from what is held, or from make(), an Expected<std::vector<std::byte>>. The bytes stay, charged,
  /// until they have been read or dropped. Errors: those of make(); kTooLarge for the owner's limit and the
  /// guest's buffer.
  template <class Make>
  Status answer(const BytesResult& result, const Budget& budget, std::string_view what, Make&& make) {
    if (!held_) {
      WASMGRAD_ASSIGN(std::vector<std::byte> bytes, make());
      WASMGRAD_ASSIGN(charge_, budget.charge(bytes.size(), what));
      bytes_ = std::move(bytes);
      held_ = true;
    }
    WASMGRAD_CHECK(result.write(bytes_));
    if (!result.is_query()) drop();
    return {};
  }

  void drop() noexcept {
    held_ = false;
    bytes_ = {};
    charge_.release();
  }

 private:
  bool held_ = false;
  std::vector<std::byte> bytes_;
  Budget::Charge charge_;
};

}  // namespace wasmgrad::abi::v1
