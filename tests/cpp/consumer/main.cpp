// Uses every public library of an installed wasmgrad a little: exits with 0 when each answers as it should.
#include <array>
#include <cstdio>
#include <cstring>
#include <span>

#include "wasmgrad/graph/executor.hpp"
#include "wasmgrad/runner/run_config.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"
#include "wasmgrad/training/data/dataset.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace {

bool expect(bool condition, const char* what) {
  if (!condition) std::fprintf(stderr, "consumer: %s\n", what);
  return condition;
}

bool options_are_validated() {
  wasmgrad::training::TrainerOptions options;
  const bool good = wasmgrad::training::validate(options).ok();
  options.batch_size = 0;
  const auto refused = wasmgrad::training::validate(options);
  return expect(good, "the default options are refused") &&
         expect(!refused.ok() && !refused.error().message.empty(), "batch size 0 is accepted");
}

bool dataset_is_created() {
  const std::array<float, 4> inputs{0, 1, 2, 3};
  const std::array<float, 2> targets{1, 5};
  auto x = wasmgrad::TensorView::create("x", wasmgrad::DType::kF32, {2, 2}, std::as_bytes(std::span(inputs)));
  auto y =
      wasmgrad::TensorView::create("y", wasmgrad::DType::kF32, {2, 1}, std::as_bytes(std::span(targets)));
  if (!expect(x && y, "tensor views are refused")) return false;
  auto dataset = wasmgrad::training::Dataset::create({&*x, 1}, {&*y, 1}, 1 << 20);
  return expect(dataset && dataset->size() == 2, "a dataset of two samples is refused");
}

bool engine_answers() {
  return expect(!wasmgrad::sandbox::engine_version().empty(), "the engine has no version");
}

bool run_config_is_parsed() {
  return expect(!wasmgrad::runner::RunConfig::from_json("{").has_value(), "broken JSON is accepted");
}

bool graph_module_is_checked() {
  return expect(!wasmgrad::graph::Executor::create({}).has_value(), "no bytes are a graph module");
}

}  // namespace

int main() {
  const bool ok = options_are_validated() & dataset_is_created() & engine_answers() & run_config_is_parsed() &
                  graph_module_is_checked();
  return ok ? 0 : 1;
}
