// Low-rank adaptation (LoRA, arXiv 2106.09685) as an option: which weights get a branch, and of which rank.
// Without torch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

/// Branches beside the weights whose names match: W x becomes W x + alpha / rank * B (A x).
struct LowRank {
  std::string weights;  ///< a pattern of `*` and `?` over dotted names
  std::int64_t rank;
  double alpha;
  bool operator==(const LowRank&) const = default;
};

/// Reads "PATTERN:RANK" or "PATTERN:RANK:ALPHA"; ALPHA is RANK where it is left out. Errors:
/// kInvalidArgument, with what is expected.
Expected<LowRank> parse_low_rank(std::string_view text);

}  // namespace wasmgrad::training
