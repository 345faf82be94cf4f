// Two ways to train an epoch: the host draws the batches, or the guest does.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "digits.hpp"
#include "wasmgrad/random.hpp"
#include "wasmgrad/training_v1.hpp"

namespace mnist {

using wasmgrad::v1::Dataset;
using wasmgrad::v1::Trainer;

inline constexpr std::uint32_t kBatch = 128;
inline constexpr std::uint32_t kBlock = 1000;  // rows in one append

/// All digits of a set, handed to the host block by block.
inline Dataset upload(Digits digits) {
  Dataset dataset = Dataset::create().value();
  for (std::uint32_t done = 0; done < digits.count();) {
    const auto block = digits.read(std::min(kBlock, digits.count() - done));
    dataset.append(block.inputs(), block.targets()).value();
    done += block.count();
  }
  return dataset;
}

inline Dataset upload(Digits& digits, std::span<const std::uint32_t> numbers) {
  Dataset dataset = Dataset::create().value();
  for (; !numbers.empty(); numbers = numbers.subspan(std::min<std::size_t>(kBlock, numbers.size()))) {
    const auto block = digits.read(numbers.first(std::min<std::size_t>(kBlock, numbers.size())));
    dataset.append(block.inputs(), block.targets()).value();
  }
  return dataset;
}

/// Where batches come from.
class Training {
 public:
  virtual ~Training() = default;
  [[nodiscard]] virtual std::uint64_t count() const = 0;
  [[nodiscard]] virtual const Dataset& validation() const = 0;
  /// Trains the epoch with this number, counted from 0, and returns its mean loss. Interrupted, it goes on
  /// where it stopped; one that could not ends the guest.
  virtual wasmgrad::v1::Result<double> epoch(Trainer& trainer, std::uint32_t number) = 0;
};

/// The host draws the batches from a dataset that it holds.
class HostTraining : public Training {
 public:
  HostTraining(const std::string& data, std::uint64_t seed) {
    parts_ = upload({data, "train"}).split({0.9, 0.1}, seed).value();
  }
  [[nodiscard]] std::uint64_t count() const override { return parts_[0].size().value(); }
  [[nodiscard]] const Dataset& validation() const override { return parts_[1]; }
  wasmgrad::v1::Result<double> epoch(Trainer& trainer, std::uint32_t) override {
    const auto done = trainer.epoch(parts_[0]);
    if (!done) return done.error();
    return done.value().loss;
  }

 private:
  std::vector<Dataset> parts_;
};

/// The guest draws them: it reads each batch from the files, and the host holds the validation rows alone.
class OwnTraining : public Training {
 public:
  /// An epoch is `batches` long; 0: as long as there are samples.
  OwnTraining(const std::string& data, std::uint64_t seed, std::uint32_t batches)
      : digits_(data, "train"), order_(digits_.count()), batches_(batches), seed_(seed) {
    std::iota(order_.begin(), order_.end(), 0U);
    shuffle(seed_);
    const std::size_t kept = order_.size() - order_.size() / 10;
    validation_ = upload(digits_, std::span(order_).subspan(kept));
    order_.resize(kept);
    std::ranges::sort(order_);
  }
  [[nodiscard]] std::uint64_t count() const override { return order_.size(); }
  [[nodiscard]] const Dataset& validation() const override { return *validation_; }

  wasmgrad::v1::Result<double> epoch(Trainer& trainer, std::uint32_t number) override {
    std::ranges::sort(order_);
    shuffle(seed_ + 1 + number);  // the same order when the epoch is resumed
    std::span<const std::uint32_t> rest = order_;
    if (batches_ != 0) rest = rest.first(std::min(rest.size(), std::size_t{batches_} * kBatch));
    const auto trained = static_cast<double>(rest.size());
    double loss = 0;
    for (; !rest.empty(); rest = rest.subspan(std::min<std::size_t>(kBatch, rest.size()))) {
      const auto batch = digits_.read(rest.first(std::min<std::size_t>(kBatch, rest.size())));
      loss += trainer.step(batch.inputs(), batch.targets()).value().loss * batch.count();
    }
    return loss / trained;
  }

 private:
  void shuffle(std::uint64_t seed) {
    wasmgrad::Random random(seed);
    for (std::size_t i = order_.size(); i > 1; --i) {
      std::swap(order_[i - 1], order_[random.below(static_cast<std::uint32_t>(i))]);
    }
  }

  Digits digits_;
  std::vector<std::uint32_t> order_;
  std::uint32_t batches_;
  std::uint64_t seed_;
  std::optional<Dataset> validation_;
};

}  // namespace mnist
