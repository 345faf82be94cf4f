// A run in the console lines of the compatibility imports' earlier host: `[Plugin] Epochs: 10`.
#pragma once

#include <cstdint>
#include <string_view>

#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::runner {

class ClassicObserver : public training::Observer {
 public:
  /// Writes to `fd`, unbuffered, so that lines keep their order with what the guest writes there.
  explicit ClassicObserver(int fd) : fd_(fd) {}

  void on_tensor(std::string_view role, const TensorView& tensor, double seconds) override;
  void on_classes(std::int64_t classes) override;
  void on_fit_begin(const training::FitInfo& info) override;
  void on_initial(const training::Metrics& metrics) override;
  void on_epoch(const training::EpochReport& report) override;
  void on_fit_end(const training::FitReport& report) override;
  void on_warning(std::string_view message) override;
  void on_model_saved(std::string_view path, std::uint64_t bytes) override;

 private:
  void print(std::string_view text) const;

  int fd_;
};

}  // namespace wasmgrad::runner
