// A graph with a plan written by hand: y = x * w (weights), and total = the sum of a table in the module's
// data. Its state is the sum of all x[0]. Some inputs make it fail. The functions that begin otherwise than
// with graph_ lie; a test gives them the names of those that do not.
#include <wasm_simd128.h>

#include <array>
#include <cstdint>

#include "wasmgrad/graph_runtime/plan.hpp"

namespace {

constexpr std::int32_t kWeights = 0, kX = 64, kY = 128, kTotal = 192, kState = 256, kEnd = 448;
// The second plan takes 1 to 3 rows of x, and has no total.
constexpr std::int32_t kRows = 320, kProducts = 384, kMost = 3;
constexpr float kTraps = 666, kFails = 777;

// Large enough that a host keeps it away from its compiler.
constexpr auto kTable = [] {
  std::array<float, 20000> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i % 7);
  return table;
}();

std::int32_t multiply(std::uint8_t* base) {
  const v128_t x = wasm_v128_load(base + kX), w = wasm_v128_load(base + kWeights);
  if (wasm_f32x4_extract_lane(x, 0) == kTraps) __builtin_trap();
  if (wasm_f32x4_extract_lane(x, 0) == kFails) return 3;
  *reinterpret_cast<float*>(base + kState) += wasm_f32x4_extract_lane(x, 0);
  // Bits of a relaxed result, used as bits: -0 becomes 0.
  const v128_t product = wasm_f32x4_relaxed_madd(x, w, wasm_f32x4_const_splat(-0.0F));
  const v128_t is_zero = wasm_f32x4_eq(product, wasm_f32x4_const_splat(0));
  wasm_v128_store(base + kY, wasm_v128_andnot(product, is_zero));
  return 0;
}

std::int32_t multiply_rows(std::int32_t batch, std::uint8_t* base) {
  const v128_t w = wasm_v128_load(base + kWeights);
  for (std::int32_t at = 0; at < batch * 16; at += 16) {
    wasm_v128_store(base + kProducts + at, wasm_f32x4_mul(wasm_v128_load(base + kRows + at), w));
  }
  return 0;
}

std::int32_t sum(std::uint8_t* base) {
  const volatile float* table = kTable.data();
  float total = 0;
  for (std::size_t i = 0; i < kTable.size(); ++i) total += table[i];
  *reinterpret_cast<float*>(base + kTotal) = total;
  return 0;
}

}  // namespace

extern "C" {

std::int32_t plan_select(std::int32_t plan, std::int32_t batch, std::int32_t* taken) {
  if (plan == 0 && batch == 0) *taken = 0;
  if (plan == 1 && batch <= kMost) *taken = batch == 0 ? kMost : batch;
  return 0;
}

std::int32_t plan_prepare(std::int32_t /*plan*/, std::int32_t /*batch*/, std::uint8_t* /*base*/) { return 0; }

std::int32_t plan_input(std::int32_t plan, std::int32_t index, std::int32_t* offset) {
  if (index == 0) *offset = plan == 0 ? kX : kRows;
  return 0;
}

std::int32_t plan_output(std::int32_t plan, std::int32_t index, std::int32_t* offset) {
  if (index == 0) *offset = plan == 0 ? kY : kProducts;
  if (plan == 0 && index == 1) *offset = kTotal;
  return 0;
}

std::int32_t plan_state(std::int32_t index, std::int32_t* offset) {
  if (index == 0) *offset = kState;
  return 0;
}

std::int32_t plan_scratch(std::int32_t* offset) {
  *offset = kEnd;
  return 0;
}

// Its weights are read as they are stored.
std::int32_t plan_weights(std::int32_t* /*embedded*/, std::int32_t* /*loads*/) { return 0; }
std::int32_t plan_load(std::uint8_t* /*base*/) { return 0; }

std::int32_t plan_run(std::int32_t plan, std::int32_t batch, std::uint8_t* base) {
  if (plan == 1) return multiply_rows(batch, base);
  const std::int32_t failure = multiply(base);
  return failure != 0 ? failure : sum(base);
}

std::int32_t plan_call(std::int32_t plan, std::int32_t batch, std::int32_t index, std::uint8_t* base,
                       std::int32_t* ran) {
  *ran = index == 0 || (plan == 0 && index == 1) ? 1 : *ran;
  if (plan == 1) return index == 0 ? multiply_rows(batch, base) : 0;
  return index == 0 ? multiply(base) : index == 1 ? sum(base) : 0;
}

// Within the address space, but so near to its end that a length added to it wraps around.
std::uint32_t probe_input(std::int32_t index) { return index == 0 ? 0xfffffff8 : 0; }
// The last bytes of the memory: a tensor that begins there does not end there.
std::uint32_t other_input(std::int32_t index) { return index == 0 ? (1U << 20) - 8 : 0; }
std::uint32_t probe_weights() { return (1U << 20) - 8; }
std::int32_t probe_run(std::int32_t /*index*/) { return 0; }

}  // extern "C"
