// The order in which an epoch visits the samples: computed from (seed, epoch) alone, so that a resumed run
// needs no state.
#pragma once

#include <cstdint>
#include <span>

namespace wasmgrad::training {

/// Fills `order` with a uniformly drawn permutation of 0..order.size()-1.
void shuffled_order(std::span<std::int64_t> order, std::uint64_t seed, std::int64_t epoch);

}  // namespace wasmgrad::training
