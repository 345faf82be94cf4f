// A Collective between the threads of a test.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "wasmgrad/training/collective/collective.hpp"

namespace wasmgrad::training::testing {

/// What the members of one group share. A member that leaves is lost to the others, who then fail.
class InProcessGroup {
 public:
  explicit InProcessGroup(int size) : size_(size), barrier_(size), places_(static_cast<std::size_t>(size)) {}

  class Member final : public Collective {
   public:
    Member(InProcessGroup& group, int rank) : group_(group), rank_(rank) {}
    ~Member() override { leave(); }
    [[nodiscard]] int rank() const noexcept override { return rank_; }
    [[nodiscard]] int size() const noexcept override { return group_.size_; }
    /// As a process that ended.
    void leave() {
      if (left_) return;
      left_ = true;
      group_.gone_ = true;
      group_.barrier_.arrive_and_drop();
    }

   protected:
    Status gather(std::span<const std::byte> mine, std::span<std::byte> all) override {
      return exchange({const_cast<std::byte*>(mine.data()), mine.size()}, [&] {  // the others only read
        for (const auto& place : group_.places_) {
          std::ranges::copy(place, all.begin());
          all = all.subspan(place.size());
        }
      });
    }
    Status add_up(std::span<float> values, Wire wire) override {
      std::vector<float> sums(values.size());
      const Status done = exchange(std::as_writable_bytes(values), [&] {
        for (const auto& place : group_.places_) {
          const auto* theirs = reinterpret_cast<const float*>(place.data());
          for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += rounded(theirs[i], wire);
        }
      });
      if (done) std::ranges::copy(sums, values.begin());
      return done;
    }
    Status copy_first(std::span<std::byte> bytes) override {
      return exchange(bytes, [&] {
        if (rank_ != 0) std::ranges::copy(group_.places_[0], bytes.begin());
      });
    }

   private:
    static float rounded(float value, Wire wire) {
      if (wire == Wire::kF32) return value;
      return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x8000U) & 0xFFFF0000U);
    }
    /// Shows the others these bytes while `read` looks at theirs.
    Status exchange(std::span<std::byte> bytes, const std::function<void()>& read) {
      group_.places_[static_cast<std::size_t>(rank_)] = bytes;
      group_.barrier_.arrive_and_wait();
      const bool complete = !group_.gone_;
      if (complete) read();
      group_.barrier_.arrive_and_wait();
      if (complete) return {};
      return Error{Errc::kRuntimeError, "a thread has left"};
    }

    InProcessGroup& group_;
    int rank_;
    bool left_ = false;
  };

  /// `work(member)` in a thread for each member.
  static void run(int size, const std::function<void(Member&)>& work) {
    InProcessGroup group(size);
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&group, &work, rank] {
        Member member(group, rank);
        work(member);
      });
    }
  }

 private:
  int size_;
  std::barrier<> barrier_;
  std::vector<std::span<std::byte>> places_;
  std::atomic<bool> gone_ = false;
};

}  // namespace wasmgrad::training::testing
