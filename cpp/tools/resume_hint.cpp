#include "wasmgrad/tools/resume_hint.hpp"

#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

namespace wasmgrad::tools {

namespace {

std::optional<std::filesystem::file_time_type> written_at(const std::optional<std::filesystem::path>& file) {
  std::error_code absent;
  if (!file) return std::nullopt;
  const auto time = std::filesystem::last_write_time(*file, absent);
  return absent ? std::nullopt : std::optional(time);
}

// As a shell reads it back.
std::string shell_word(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'') {
      text += "'\"'\"'";
    } else {
      text += c;
    }
  }
  return text + "'";
}

}  // namespace

ResumeHint::ResumeHint(const runner::RunConfig& config, std::span<const char* const> command)
    : config_(config), command_(command), before_(written_at(config.checkpoint)) {}

std::string ResumeHint::line() const {
  const auto after = written_at(config_.checkpoint);
  const bool written = after && after != before_;
  if (!written && !config_.resume) {
    return config_.checkpoint
               ? "interrupted before the first step; there is nothing to go on from"
               : "interrupted; nothing to go on from was kept, as no --checkpoint FILE was given";
  }
  std::string text = "interrupted; go on with: " + shell_word(command_[0]) + " --resume " +
                     shell_word((written ? *config_.checkpoint : *config_.resume).string());
  // The last words are the guest's, whatever they look like.
  const std::size_t guest = command_.size() - config_.args.size() - 1;
  for (std::size_t i = 1; i < command_.size(); ++i) {
    const std::string_view word = command_[i];
    if (i < guest && word == "--resume") {
      ++i;
    } else if (i >= guest || !word.starts_with("--resume=")) {
      text += " " + shell_word(word);
    }
  }
  return text;
}

}  // namespace wasmgrad::tools
