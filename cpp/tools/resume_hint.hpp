// What an interrupted run leaves to go on from, as the line that its owner reads.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "wasmgrad/runner/run_config.hpp"

namespace wasmgrad::tools {

/// Made before the run, so that a checkpoint of an earlier one is not taken for its own.
class ResumeHint {
 public:
  /// `command` is the command line as it was given; both outlive the hint.
  ResumeHint(const runner::RunConfig& config, std::span<const char* const> command);

  /// After an interrupted run: the command that goes on, or that there is nothing to go on from; one line.
  [[nodiscard]] std::string line() const;

 private:
  const runner::RunConfig& config_;
  std::span<const char* const> command_;
  std::optional<std::filesystem::file_time_type> before_;
};

}  // namespace wasmgrad::tools
