#include "wasmgrad/abi/nn/model_backend.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "wasmgrad/training/model/model.hpp"
#include "wasmgrad/training/model/predictor.hpp"

namespace wasmgrad::abi::nn {

namespace {

// A zip file's first record; the archives of PyTorch start with one.
constexpr std::array kZip{std::byte{'P'}, std::byte{'K'}, std::byte{3}, std::byte{4}};

class ModelGraph final : public Graph {
 public:
  explicit ModelGraph(std::unique_ptr<training::Predictor> predictor) : predictor_(std::move(predictor)) {
    for (const auto& input : predictor_->inputs()) inputs_.push_back({input.name, input.required});
  }

  [[nodiscard]] const std::vector<GraphInput>& inputs() const override { return inputs_; }
  [[nodiscard]] std::uint64_t bytes() const override { return predictor_->model_bytes(); }

  // A program's code takes whatever it can compute with.
  [[nodiscard]] Status check_input(std::size_t /*index*/, const TensorView& /*tensor*/) const override {
    return {};
  }

  Expected<std::vector<training::Output>> compute(std::span<const TensorView> inputs,
                                                  std::uint64_t max_output_bytes) override {
    return predictor_->run(inputs, max_output_bytes);
  }

 private:
  std::unique_ptr<training::Predictor> predictor_;
  std::vector<GraphInput> inputs_;
};

}  // namespace

bool ModelBackend::recognizes(std::span<const std::byte> part) const {
  return part.size() >= kZip.size() && std::ranges::equal(part.first(kZip.size()), kZip);
}

Expected<std::shared_ptr<Graph>> ModelBackend::load(std::span<const std::span<const std::byte>> parts,
                                                    const std::string& name, std::uint64_t max_bytes) {
  if (parts.size() != 1) {
    return Error{Errc::kInvalidArgument,
                 std::to_string(parts.size()) + " builders were given; a PyTorch model is one file"};
  }
  WASMGRAD_ASSIGN(const auto model, backend_.load(parts[0], name, max_bytes));
  WASMGRAD_ASSIGN(auto predictor, model->predictor());
  return std::shared_ptr<Graph>(std::make_shared<ModelGraph>(std::move(predictor)));
}

}  // namespace wasmgrad::abi::nn
