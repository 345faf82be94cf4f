// Handles of one guest: numbers that stand for what the host keeps for it.
//
// A number is used once in the guest's life, whatever it stood for, and a table knows its own numbers only: a
// stale handle, or one of another kind, is never taken for something else.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi {

/// What the tables of one guest share: the next number, and how many may be open at once in all of them.
class HandleNumbers {
 public:
  explicit HandleNumbers(std::uint32_t most_open) : most_open_(most_open) {}

  /// Whether `count` more may be opened. Errors: kTooLarge.
  [[nodiscard]] Status check(std::uint64_t count) const {
    if (count <= most_open_ - open_ && count <= std::numeric_limits<std::uint32_t>::max() - last_) return {};
    return Error{Errc::kTooLarge, std::to_string(open_) + " handles are open and " + std::to_string(count) +
                                      " more were asked for; at most " + std::to_string(most_open_) +
                                      " may be open at once"};
  }
  [[nodiscard]] std::uint32_t open() const noexcept { return open_; }

 private:
  template <class T>
  friend class HandleTable;
  std::uint32_t most_open_;
  std::uint32_t open_ = 0;
  std::uint32_t last_ = 0;
};

template <class T>
class HandleTable {
 public:
  /// `kind` names what it holds in errors ("dataset"). `numbers` outlives the table.
  HandleTable(std::string_view kind, HandleNumbers& numbers) : kind_(kind), numbers_(numbers) {}

  /// Errors: kTooLarge when too many are open.
  Expected<std::uint32_t> insert(std::shared_ptr<T> value) {
    WASMGRAD_CHECK(numbers_.check(1));
    entries_.emplace(numbers_.last_ + 1, std::move(value));
    ++numbers_.open_;
    return ++numbers_.last_;
  }

  /// What `handle` stands for. Errors: kInvalidArgument.
  [[nodiscard]] Expected<std::shared_ptr<T>> find(std::uint32_t handle) const {
    const auto found = entries_.find(handle);
    if (found == entries_.end()) return missing(handle);
    return found->second;
  }

  /// Takes the handle away. What it stood for goes when nothing else uses it. Errors: kInvalidArgument.
  Expected<std::shared_ptr<T>> close(std::uint32_t handle) {
    const auto found = entries_.find(handle);
    if (found == entries_.end()) return missing(handle);
    auto value = std::move(found->second);
    entries_.erase(found);
    --numbers_.open_;
    return value;
  }

  /// Closes all.
  void clear() noexcept {
    numbers_.open_ -= static_cast<std::uint32_t>(entries_.size());
    entries_.clear();
  }

  /// Every open handle's value.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [handle, value] : entries_) visit(*value);
  }

 private:
  [[nodiscard]] Error missing(std::uint32_t handle) const {
    return {Errc::kInvalidArgument, std::to_string(handle) + " is not the handle of an open " + kind_};
  }

  std::string kind_;
  HandleNumbers& numbers_;
  std::map<std::uint32_t, std::shared_ptr<T>> entries_;
};

}  // namespace wasmgrad::abi
