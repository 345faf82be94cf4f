// All imports that one guest may have, made from the configuration of its run: what an engine registers.
#pragma once

#include <memory>
#include <vector>

#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/runner/run_config.hpp"
#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::abi::nn {
class InferenceHost;
}

namespace wasmgrad::runner {

/// Training and inference, with handles and quotas of their own for each guest.
class GuestHost {
 public:
  /// `observer`, `stop` and `group` may be null; they outlive the host. Of a group, the first process has the
  /// owner's files.
  GuestHost(const RunConfig& config, training::Observer* observer, const StopToken* stop,
            training::Collective* group = nullptr);
  GuestHost(const GuestHost&) = delete;
  GuestHost& operator=(const GuestHost&) = delete;
  ~GuestHost();

  /// They refer to this host, which must outlive them.
  [[nodiscard]] std::vector<HostFunction> functions();

  [[nodiscard]] abi::TrainingHost& training() noexcept { return training_; }

 private:
  abi::TrainingHost training_;
  std::unique_ptr<abi::nn::InferenceHost> inference_;
};

}  // namespace wasmgrad::runner
