// Which plan a module runs: the first one, until a host chooses another.
#pragma once

#include <cstdint>

#include "wasmgrad/graph_runtime/plan.hpp"

namespace wg {

inline constexpr std::int32_t kInvalidArgument = 1;  // as wasi-nn numbers them
inline constexpr std::int32_t kRuntimeError = 4;

class Choice {
 public:
  /// Chooses a plan, and for how many samples it is to run. Returns whether there is such a one; else all is
  /// as it was.
  bool select(std::int32_t plan, std::int32_t batch) {
    std::int32_t taken = -1;
    plan_select(plan, batch, &taken);
    if (taken < 0) return false;
    plan_ = plan;
    batch_ = taken;
    is_prepared_ = false;
    return true;
  }

  [[nodiscard]] std::int32_t input(std::int32_t index) const { return offset(plan_input, index); }
  [[nodiscard]] std::int32_t output(std::int32_t index) const { return offset(plan_output, index); }

  std::int32_t run(std::uint8_t* base) {
    prepare(base);
    return plan_run(plan_, batch_, base);
  }

  /// One call of the plan. Returns whether there is one of that index.
  bool call(std::int32_t index, std::uint8_t* base) {
    prepare(base);
    std::int32_t ran = 0;
    plan_call(plan_, batch_, index, base, &ran);
    return ran == 1;
  }

 private:
  using Offset = std::int32_t (*)(std::int32_t plan, std::int32_t index, std::int32_t* offset);

  /// -1 where there is none.
  [[nodiscard]] std::int32_t offset(Offset of, std::int32_t index) const {
    std::int32_t found = -1;
    of(plan_, index, &found);
    return found;
  }

  // Not when it is chosen: a host may still fill in the weights, and what is written here is among them.
  void prepare(std::uint8_t* base) {
    if (is_prepared_) return;
    if (batch_ < 0) plan_select(plan_, 0, &batch_);
    plan_prepare(plan_, batch_, base);
    is_prepared_ = true;
  }

  std::int32_t plan_ = 0;
  std::int32_t batch_ = -1;  // as many as it can
  bool is_prepared_ = false;
};

}  // namespace wg
