#include "rows.hpp"

namespace wasmgrad::training::testing {

TensorView Tensor::view(const std::string& name) const {
  return unwrap(TensorView::create(name, dtype_, shape_, bytes_));
}

Tensor linear_inputs(std::int64_t rows) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < rows * 4; ++i) {
    values.push_back(static_cast<float>(static_cast<double>(i * 7 % 13) / 13 - 0.5));
  }
  return {DType::kF32, {rows, 4}, values};
}

Tensor image_inputs(std::int64_t rows) {
  std::vector<std::uint8_t> values;
  for (std::int64_t i = 0; i < rows * 36; ++i)
    values.push_back(static_cast<std::uint8_t>((i * 37 + i / 36 * 11) % 256));
  return {DType::kU8, {rows, 1, 6, 6}, values};
}

Tensor class_targets(std::int64_t rows) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < rows; ++i) values.push_back(i % 3);
  return {DType::kI64, {rows}, values};
}

Dataset dataset(const Tensor& inputs, const Tensor& targets) {
  const TensorView x = inputs.view();
  const TensorView y = targets.view();
  return unwrap(Dataset::create({&x, 1}, {&y, 1}, kAmple));
}

Dataset linear_dataset(std::int64_t rows) { return dataset(linear_inputs(rows), class_targets(rows)); }
Dataset image_dataset(std::int64_t rows) { return dataset(image_inputs(rows), class_targets(rows)); }

TrainerOptions small_options() {
  TrainerOptions options;
  options.optimizer.learning_rate = 0.01;
  options.batch_size = 4;
  options.epochs = 3;
  options.threads = 1;
  options.top_k = 2;
  options.seed = 11;
  return options;
}

}  // namespace wasmgrad::training::testing
