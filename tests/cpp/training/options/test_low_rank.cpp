#include <doctest/doctest.h>

#include "wasmgrad/training/options/low_rank.hpp"

namespace wasmgrad::training {

TEST_CASE("a pattern, a rank and perhaps what scales it") {
  CHECK(parse_low_rank("*.attn.*:8").value() == LowRank{"*.attn.*", 8, 8});
  CHECK(parse_low_rank("fc:4096:0.5").value() == LowRank{"fc", 4096, 0.5});
  CHECK(parse_low_rank("fc:1:-2e1").value() == LowRank{"fc", 1, -20});
}

TEST_CASE("anything else is refused, with what is expected") {
  for (const char* text :
       {"", ":", "fc", "fc:", ":8", "fc:0", "fc:-1", "fc:4097", "fc:8 ", "fc:0x8", "fc:1e1",
        "fc:99999999999999999999", "fc:8:", "fc:8:nan", "fc:8:inf", "fc:8:1e999", "fc:8:1:1"}) {
    CAPTURE(text);
    const auto read = parse_low_rank(text);
    REQUIRE(!read);
    CHECK(read.error().code == Errc::kInvalidArgument);
    CHECK(read.error().message.find("expected PATTERN:RANK") != std::string::npos);
  }
}

}  // namespace wasmgrad::training
