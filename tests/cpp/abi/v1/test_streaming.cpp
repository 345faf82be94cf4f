// A guest streams far more data through single steps than anybody holds at once.
#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "guest.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

}  // namespace

TEST_CASE("four gigabytes go through single steps in bounded memory") {
  constexpr std::uint32_t kRows = 49152;  // 768 KiB of f32 [N, 4]
  constexpr std::uint64_t kBatchBytes = std::uint64_t{kRows} * 16;
  constexpr std::uint64_t kStreamed = std::uint64_t{4} << 30;
  Guest guest;
  const std::uint32_t trainer = guest.make_trainer(guest.load_model());
  const std::uint32_t inputs = guest.linear_inputs(kRows);
  const std::uint32_t targets = guest.list({{"", DType::kU8, {kRows}, std::vector<std::uint8_t>(kRows, 1)}});
  const std::uint32_t metrics = guest.reserve(64);
  const auto step = [&] { return guest.call("trainer_step", trainer, inputs, 1, targets, 1, metrics); };
  for (int warm_up = 0; warm_up < 50; ++warm_up) REQUIRE_MESSAGE(step() == 0, guest.last_error());
  const std::uint64_t held = guest.host().usage().host_bytes;
  const std::uint64_t resident = resident_bytes();
  for (std::uint64_t streamed = 0; streamed < kStreamed; streamed += kBatchBytes) REQUIRE(step() == 0);
  CHECK(guest.host().usage().host_bytes == held);
  CHECK(resident_bytes() < resident + (std::uint64_t{100} << 20));
}
