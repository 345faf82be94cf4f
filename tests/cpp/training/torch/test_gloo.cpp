// That the declarations in gloo_headers fit the Gloo in libtorch: a group of one runs all its code.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "../../support.hpp"
#include "wasmgrad/training/torch/collective/gloo_collective.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using wasmgrad::test::error_of;

namespace {

Rendezvous here(int rank, int size, std::uint16_t port) {
  Rendezvous where;
  where.rank = rank;
  where.size = size;
  where.address = "127.0.0.1";
  where.port = port;
  where.is_server = rank == 0;
  where.timeout = std::chrono::seconds(20);
  return where;
}

}  // namespace

TEST_CASE("a group of one exchanges with itself") {
  const auto group = connect(here(0, 1, 29617));
  REQUIRE(group);
  Collective& alone = **group;
  CHECK(alone.rank() == 0);
  CHECK(alone.size() == 1);
  Share mine;
  mine.sum.add_loss(2.0, 3);
  const auto agreed = alone.meet({Operation::kStep, 1, 16, 9}, mine);
  REQUIRE(agreed);
  CHECK(agreed->sum.loss == 6.0);
  std::vector<float> values{1, -2, 0.5F, 1.00390625F};
  const std::vector<float> before = values;
  REQUIRE(alone.sum(values));
  CHECK(values == before);
  REQUIRE(alone.sum(values, Wire::kBF16));
  CHECK(values == std::vector<float>{1, -2, 0.5F, 1});  // bf16 has eight significant bits
  std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  REQUIRE(alone.copy_from_first(bytes));
  CHECK(bytes[2] == std::byte{3});
}

TEST_CASE("processes that do not come are told of by their place") {
  Rendezvous where = here(1, 2, 29618);
  where.timeout = std::chrono::milliseconds(200);
  const Error error = error_of(connect(where));
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message.find("process 1 of 2 did not find the others through 127.0.0.1:29618") !=
        std::string::npos);
}
