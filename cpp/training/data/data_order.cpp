#include "wasmgrad/training/data/data_order.hpp"

#include <numeric>
#include <utility>

#include "wasmgrad/training/data/philox.hpp"

namespace wasmgrad::training {

namespace {

/// 64-bit numbers in sequence from the counters of one epoch.
class EpochStream {
 public:
  EpochStream(std::uint64_t seed, std::int64_t epoch)
      : key_(philox_key(seed)), epoch_(static_cast<std::uint64_t>(epoch)) {}

  /// Uniform in 0..bound-1, without bias: Lemire's multiply-and-reject.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    for (;;) {
      __extension__ using Wide = unsigned __int128;
      const Wide product = static_cast<Wide>(next()) * bound;
      if (static_cast<std::uint64_t>(product) >= threshold) return static_cast<std::uint64_t>(product >> 64);
    }
  }

 private:
  std::uint64_t next() {
    // Sets these counters apart from those of dropout, which shares the seed.
    constexpr std::uint32_t kOrderStream = 0x6F726472;
    if (position_ % 2 == 0) {
      const std::uint64_t block = position_ / 2;
      block_ = philox4x32_10(
          {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
           static_cast<std::uint32_t>(epoch_), static_cast<std::uint32_t>(epoch_ >> 32) ^ kOrderStream},
          key_);
    }
    const std::size_t half = 2 * (position_++ % 2);
    return block_[half] | (std::uint64_t{block_[half + 1]} << 32);
  }

  PhiloxKey key_;
  std::uint64_t epoch_;
  std::uint64_t position_ = 0;
  PhiloxCounter block_{};
};

}  // namespace

void shuffled_order(std::span<std::int64_t> order, std::uint64_t seed, std::int64_t epoch) {
  std::iota(order.begin(), order.end(), std::int64_t{0});
  EpochStream random(seed, epoch);
  for (std::size_t remaining = order.size(); remaining > 1; --remaining) {
    std::swap(order[remaining - 1], order[random.below(remaining)]);
  }
}

}  // namespace wasmgrad::training
