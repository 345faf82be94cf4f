#include "wasmgrad/runner/classic_observer.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <string>

#include "wasmgrad/base/write_fully.hpp"

namespace wasmgrad::runner {

namespace {

// The earlier host's spellings, by the enumerators' values.
constexpr std::array<std::string_view, 4> kOptimizers = {"Adam", "RMSProp", "SGD", "AdamW"};
constexpr std::array<std::string_view, 6> kLosses = {"CrossEntropy", "CrossEntropyForLogits", "MSE", "L1",
                                                     "Huber",        "BCEWithLogits"};

constexpr std::array<std::string_view, 7> kElementTypes = {"Half", "Float", "Double",  "Uint8",
                                                           "Int",  "Int64", "BFloat16"};

// The shortest decimal digits that read back as `value`, without an exponent: 0.0001.
std::string plain(double value) {
  std::array<char, 400> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed).ptr;
  return {text.data(), end};
}

// "acc: 91.93%" where there is an accuracy, else "loss: 0.012345".
std::string score(const training::Metrics& metrics) {
  std::array<char, 64> text;
  if (metrics.accuracy) {
    std::snprintf(text.data(), text.size(), "acc: %.2f%%", *metrics.accuracy * 100);
  } else {
    std::snprintf(text.data(), text.size(), "loss: %.6g", metrics.loss);
  }
  return text.data();
}

}  // namespace

void ClassicObserver::print(std::string_view text) const {
  write_fully(fd_, "[Plugin] " + std::string(text) + "\n");
}

void ClassicObserver::on_warning(std::string_view message) { print("Warning: " + std::string(message)); }

void ClassicObserver::on_tensor(std::string_view role, const TensorView& tensor, double /*seconds*/) {
  print("Preparing " + std::string(role) + " ... [Done] (shape: " + format_shape(tensor.shape()) +
        ", dtype: " + std::string(kElementTypes[static_cast<std::size_t>(tensor.dtype())]) + ")");
}

void ClassicObserver::on_classes(std::int64_t classes) { print("Labels: " + std::to_string(classes)); }

void ClassicObserver::on_fit_begin(const training::FitInfo& info) {
  const training::TrainerOptions& options = *info.options;
  if (info.start_epoch > 0 && info.start_epoch >= options.epochs) {
    print("Nothing to train: " + std::to_string(info.start_epoch) + " epochs are done");
  }
  print("Device: Cpu");
  print("Learning rate: " + plain(options.optimizer.learning_rate));
  print("Epochs: " + std::to_string(options.epochs));
  print("batch size: " + std::to_string(options.batch_size));
  print("Optimizer: " + std::string(kOptimizers[static_cast<std::size_t>(options.optimizer.kind)]));
  print("Loss function: " + std::string(kLosses[static_cast<std::size_t>(options.loss)]));
}

void ClassicObserver::on_initial(const training::Metrics& metrics) {
  if (metrics.accuracy) {
    print("Initial accuracy: " + score(metrics).substr(5));
  } else {
    print("Initial " + score(metrics));
  }
}

void ClassicObserver::on_epoch(const training::EpochReport& report) {
  const char* what = report.test ? " test " : report.validation ? " validation " : " train ";
  const training::Metrics& metrics = report.test         ? *report.test
                                     : report.validation ? *report.validation
                                                         : report.train;
  write_fully(fd_, "        epoch: " + std::to_string(report.epoch) + what + score(metrics) + "\n");
}

void ClassicObserver::on_fit_end(const training::FitReport& report) {
  if (report.stopped_early) {
    std::string line = "Stopped early after epoch " + std::to_string(report.epoch);
    if (report.best_epoch) line += ": the best epoch was " + std::to_string(*report.best_epoch);
    if (report.best_restored) line += ", whose weights the model has";
    print(line);
  }
  print(report.interrupted ? "Interrupted" : "Finished");
}

void ClassicObserver::on_model_saved(std::string_view path, std::uint64_t /*bytes*/) {
  print("The trained model is dumped to `" + std::string(path) + "`");
}

}  // namespace wasmgrad::runner
