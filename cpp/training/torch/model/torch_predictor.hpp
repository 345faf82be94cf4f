// Predictions on libtorch. Public header without torch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "wasmgrad/training/model/predictor.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

namespace wasmgrad::training {

namespace lowering {
struct WrittenState;
}

class TorchPredictor final : public Predictor {
 public:
  /// As Model::predictor().
  static Expected<TorchPredictor> create(TorchModel model);

  [[nodiscard]] const std::vector<PredictorInput>& inputs() const noexcept override;
  [[nodiscard]] Expected<std::vector<Output>> run(std::span<const TensorView> inputs,
                                                  std::uint64_t max_output_bytes) const override;
  [[nodiscard]] std::uint64_t model_bytes() const override;

 private:
  struct Reduced;  // forward for fewer inputs, without the loss
  TorchPredictor(TorchModel model, std::vector<PredictorInput> inputs,
                 std::shared_ptr<const lowering::WrittenState> written);

  TorchModel model_;
  std::vector<PredictorInput> inputs_;
  std::shared_ptr<const lowering::WrittenState> written_;
  std::shared_ptr<Reduced> reduced_;
};

}  // namespace wasmgrad::training
