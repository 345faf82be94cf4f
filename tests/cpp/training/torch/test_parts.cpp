// Training on the parts of a split dataset.
#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "fixtures.hpp"

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

}  // namespace

TEST_CASE("training on all rows of a split sees the rows of the whole") {
  TrainerOptions options = small_options();
  options.batch_size = 10;
  options.epochs = 1;
  TorchTrainer on_whole = testing::trainer("linear", options);
  TorchTrainer on_part = testing::trainer("linear", options);
  const Dataset whole = linear_dataset(10);
  const double expected = on_whole.fit(whole, {}, {})->epochs[0].train.loss;
  const Dataset part = split(whole, {1})[0];
  CHECK(on_part.fit(part, {}, {})->epochs[0].train.loss == doctest::Approx(expected));
  CHECK(on_part.evaluate(part)->loss == doctest::Approx(on_part.evaluate(whole)->loss));
}

TEST_CASE("a label is judged in the part that has it, by its index there") {
  const auto parts = split(numbered(10), std::vector<double>(10, 0.1));
  TorchTrainer run = testing::trainer("linear", small_options());  // 3 classes
  for (const Dataset& part : parts) {
    const std::int64_t label = *part.highest_label(0);
    const auto report = run.evaluate(part);
    CHECK(report.has_value() == (label < 3));
    if (!report) CHECK(report.error().message.find("the label at index 0 is ") != std::string::npos);
  }
}

TEST_CASE("an empty part is no data to train on") {
  const auto parts = split(numbered(10), {0.01, 0.99});
  CHECK(parts[0].size() == 0);
  TorchTrainer run = testing::trainer("linear", small_options());
  const auto report = run.fit(parts[0], {}, {});
  REQUIRE_FALSE(report);
  CHECK(report.error().message == "train: the data set is empty; at least one sample is needed");
}
