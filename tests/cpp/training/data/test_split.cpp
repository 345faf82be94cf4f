#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "../rows.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

/// Rows that are told apart by their only number, 0..rows-1.
Dataset numbered(std::int64_t rows) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) values[static_cast<std::size_t>(i)] = i;
  return dataset(linear_inputs(rows), Tensor(DType::kI64, {rows}, values));
}

std::vector<Dataset> split(const Dataset& data, std::vector<double> fractions, std::uint64_t seed = 1) {
  auto parts = data.split(fractions, seed);
  REQUIRE(parts);
  return std::move(parts).value();
}

Error split_error(std::vector<double> fractions) {
  const auto parts = numbered(10).split(fractions, 1);
  REQUIRE_FALSE(parts);
  return parts.error();
}

}  // namespace

TEST_CASE("the parts of a split have their shares, and the last what is left") {
  const auto parts = split(numbered(101), {0.8, 0.1, 0.1});
  CHECK(parts[0].size() == 80);
  CHECK(parts[1].size() == 10);
  CHECK(parts[2].size() == 11);
  const auto some = split(numbered(101), {0.25, 0.5});
  CHECK(some[0].size() == 25);
  CHECK(some[1].size() == 50);
}

TEST_CASE("the parts of a split are disjoint and complete") {
  // One row a part: its number is the highest label.
  const auto parts = split(numbered(10), std::vector<double>(10, 0.1));
  std::vector<std::int64_t> seen;
  for (const Dataset& part : parts) {
    REQUIRE(part.size() == 1);
    seen.push_back(*part.highest_label(0));
  }
  CHECK_FALSE(std::ranges::is_sorted(seen));
  std::ranges::sort(seen);
  for (std::int64_t i = 0; i < 10; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("a split depends on its seed alone") {
  const auto order = [](std::uint64_t seed) {
    std::vector<std::int64_t> rows;
    for (const Dataset& part : split(numbered(10), std::vector<double>(10, 0.1), seed))
      rows.push_back(*part.highest_label(0));
    return rows;
  };
  CHECK(order(1) == order(1));
  CHECK(order(1) != order(2));
}

TEST_CASE("a part shares its rows' memory and can be split again") {
  const Dataset whole = numbered(100);
  const Dataset half = split(whole, {0.5})[0];
  CHECK(half.bytes() == whole.bytes());
  CHECK(half.index_bytes() == 50 * 8);
  const auto quarters = split(half, {0.5, 0.5}, 2);
  CHECK(quarters[0].size() == 25);
  const std::int64_t highest = *half.highest_label(0);
  CHECK(std::max(*quarters[0].highest_label(0), *quarters[1].highest_label(0)) == highest);
}

TEST_CASE("fractions that do not fit are named") {
  CHECK(split_error({0.5, -0.1}).message.find("fraction 1 is -0.1") != std::string::npos);
  CHECK(split_error({std::numeric_limits<double>::quiet_NaN()}).code == Errc::kInvalidArgument);
  CHECK(split_error({0.6, 0.6}).message.find("sum is 1.2") != std::string::npos);
  CHECK(split_error({}).code == Errc::kInvalidArgument);
}
