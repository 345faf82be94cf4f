// The training loop on libtorch. Public header without torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "wasmgrad/training/collective/collective.hpp"
#include "wasmgrad/training/loop/trainer.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

namespace wasmgrad::training {

class TorchTrainer final : public Trainer {
 public:
  /// As Model::trainer().
  static Expected<TorchTrainer> create(TorchModel model, TrainerOptions options, Observer* observer = nullptr,
                                       const StopToken* stop = nullptr, const Replication& replication = {});
  TorchTrainer(TorchTrainer&&) noexcept;
  TorchTrainer& operator=(TorchTrainer&&) noexcept;
  ~TorchTrainer() override;

  using Trainer::fit;
  Expected<FitReport> fit(const Dataset& train, const std::optional<Dataset>& validation,
                          const std::optional<Dataset>& test, const OnState& on_state,
                          std::optional<std::int64_t> more_epochs) override;
  Expected<EpochReport> train_epoch(const Dataset& train) override;
  Expected<Metrics> evaluate(const Dataset& data) override;
  Expected<Metrics> step(std::span<const TensorView> inputs, std::span<const TensorView> targets) override;
  Expected<Metrics> backward(std::span<const TensorView> inputs,
                             std::span<const TensorView> targets) override;
  Status apply() override;
  Expected<std::vector<Output>> predict(std::span<const TensorView> inputs) override;
  Status set(std::string_view key, double value) override;
  [[nodiscard]] std::uint64_t parameter_bytes() const noexcept override;
  Status parameters(std::span<std::byte> to) const override;
  Status set_parameters(std::span<const std::byte> values) override;
  Status gradients(std::span<std::byte> to) const override;
  Status set_gradients(std::span<const std::byte> values) override;
  [[nodiscard]] std::uint64_t buffer_bytes() const override;
  Status buffers(std::span<std::byte> to) const override;
  Status set_buffers(std::span<const std::byte> values) override;
  [[nodiscard]] Expected<std::vector<Output>> state() const override;
  Status set_state(std::span<const TensorView> tensors) override;
  [[nodiscard]] Expected<std::vector<std::byte>> checkpoint() const override;
  Status restore(std::span<const std::byte> checkpoint) override;
  [[nodiscard]] const FitReport& last_run() const noexcept override;
  [[nodiscard]] const Model& model() const noexcept override;
  [[nodiscard]] const TrainerOptions& options() const noexcept override;
  [[nodiscard]] std::int64_t epoch() const noexcept override;
  [[nodiscard]] std::int64_t steps() const noexcept override;
  [[nodiscard]] std::int64_t batch() const noexcept override;
  [[nodiscard]] std::optional<std::int64_t> best_epoch() const noexcept override;
  [[nodiscard]] double best_loss() const noexcept override;
  [[nodiscard]] bool shows_best() const noexcept override;
  [[nodiscard]] double learning_rate() const noexcept override;
  [[nodiscard]] std::uint64_t state_bytes() const noexcept override;

 private:
  struct State;
  explicit TorchTrainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wasmgrad::training
