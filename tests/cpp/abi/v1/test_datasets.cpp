// Datasets as a guest fills, splits and closes them.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "guest.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

std::uint64_t size_of(Guest& guest, std::uint32_t dataset) {
  const std::uint32_t rows = guest.reserve(8);
  REQUIRE(guest.call("dataset_size", dataset, rows) == 0);
  return guest.read<std::uint64_t>(rows);
}

std::uint32_t append(Guest& guest, std::uint32_t dataset, std::uint32_t rows) {
  return guest.call("dataset_append", dataset, guest.linear_inputs(rows), 1, guest.classes(rows), 1);
}

std::uint32_t split(Guest& guest, std::uint32_t dataset, const std::vector<double>& fractions,
                    std::uint32_t parts) {
  return guest.call("dataset_split", dataset, guest.put(fractions), fractions.size(), 7, parts);
}

}  // namespace

TEST_CASE("a dataset grows block by block") {
  Guest guest;
  const std::uint32_t dataset = guest.make_dataset(0);
  CHECK(size_of(guest, dataset) == 0);
  CHECK(append(guest, dataset, 3) == 0);
  CHECK(append(guest, dataset, 5) == 0);
  CHECK(size_of(guest, dataset) == 8);
}

TEST_CASE("a block that does not fit the columns leaves the dataset as it was") {
  Guest guest;
  const std::uint32_t dataset = guest.make_dataset(3);
  const auto refused = errno_of(Errc::kInvalidArgument);
  const std::uint32_t classes = guest.classes(2);
  const auto inputs = [&](DType type, std::vector<std::uint32_t> dims, std::size_t bytes) {
    return guest.list({{"", type, std::move(dims), std::vector<std::byte>(bytes)}});
  };
  CHECK(guest.call("dataset_append", dataset, inputs(DType::kF32, {2, 5}, 40), 1, classes, 1) == refused);
  CHECK(guest.call("dataset_append", dataset, inputs(DType::kF64, {2, 4}, 64), 1, classes, 1) == refused);
  CHECK(guest.call("dataset_append", dataset, inputs(DType::kF32, {3, 4}, 48), 1, classes, 1) == refused);
  CHECK(guest.call("dataset_append", dataset, inputs(DType::kF32, {2}, 8), 1, classes, 1) == refused);
  CHECK(guest.call("dataset_append", dataset, inputs(DType::kF32, {}, 4), 1, classes, 1) == refused);
  CHECK(guest.call("dataset_append", dataset, guest.linear_inputs(2, "x"), 1, classes, 1) == refused);
  CHECK(guest.call("dataset_append", dataset, guest.linear_inputs(2), 1, classes, 0) == refused);
  CHECK(guest.call("dataset_append", dataset, 0, 0, classes, 1) == refused);
  CHECK(size_of(guest, dataset) == 3);
  CHECK(append(guest, dataset, 1) == 0);
}

TEST_CASE("a split deals every row once") {
  Guest guest;
  const std::uint32_t dataset = guest.make_dataset(10);
  const std::uint32_t parts = guest.reserve(16);
  REQUIRE(split(guest, dataset, {0.5, 0.25, 0.25}, parts) == 0);
  const auto handles = guest.read_all<std::uint32_t>(parts, 3);
  CHECK(size_of(guest, handles[0]) == 5);
  CHECK(size_of(guest, handles[1]) == 2);
  CHECK(size_of(guest, handles[2]) == 3);
  CHECK(size_of(guest, dataset) == 10);
  // The parts live on without the whole, and can be split again.
  CHECK(guest.call("dataset_close", dataset) == 0);
  CHECK(split(guest, handles[0], {0.4}, parts) == 0);
  CHECK(size_of(guest, guest.read<std::uint32_t>(parts)) == 2);
}

TEST_CASE("a dataset that was split cannot grow") {
  Guest guest;
  const std::uint32_t whole = guest.make_dataset(8);
  const std::uint32_t out = guest.reserve(136);
  REQUIRE(split(guest, whole, {0.5}, out) == 0);
  const auto part = guest.read<std::uint32_t>(out);
  CHECK(append(guest, whole, 1) == errno_of(Errc::kInvalidArgument));
  CHECK(append(guest, part, 1) == errno_of(Errc::kInvalidArgument));
  CHECK(guest.last_error().find("cannot grow any more") != std::string::npos);
}

TEST_CASE("fractions that cannot be dealt leave the dataset growing") {
  Guest guest;
  const std::uint32_t dataset = guest.make_dataset(8);
  const std::uint32_t parts = guest.reserve(16);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& fractions : std::vector<std::vector<double>>{
           {}, {-0.1}, {1.1}, {0.6, 0.5}, {nan}, {0.5, nan}, {infinity}, {-infinity}, {0.5, 0.5, 1e-6}}) {
    CAPTURE(fractions.size());
    CHECK(split(guest, dataset, fractions, parts) == errno_of(Errc::kInvalidArgument));
  }
  CHECK(guest.read<std::uint32_t>(parts) == 0);
  CHECK(append(guest, dataset, 1) == 0);
}

TEST_CASE("an empty dataset cannot be split") {
  Guest guest;
  const std::uint32_t dataset = guest.make_dataset(0);
  const std::uint32_t out = guest.reserve(136);
  CHECK(split(guest, dataset, {0.5}, out) == errno_of(Errc::kInvalidArgument));
}

TEST_CASE("rows count against the owner's limit until the last dataset that shares them is closed") {
  abi::HostConfig config = Guest::default_config();
  config.max_tensor_bytes = 400;  // 24 bytes a row, and 8 for each of a part
  Guest guest(config);
  const std::uint32_t dataset = guest.make_dataset(10);
  CHECK(append(guest, dataset, 10) == errno_of(Errc::kTooLarge));
  CHECK(size_of(guest, dataset) == 10);
  const std::uint32_t part = guest.reserve(4);
  REQUIRE(split(guest, dataset, {0.5}, part) == 0);
  CHECK(guest.call("dataset_close", dataset) == 0);
  const std::uint32_t other = guest.make_dataset(0);
  CHECK(append(guest, other, 10) == errno_of(Errc::kTooLarge));
  CHECK(guest.call("dataset_close", guest.read<std::uint32_t>(part)) == 0);
  CHECK(append(guest, other, 10) == 0);
}
