#include "wasmgrad/training/collective/rendezvous.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace wasmgrad::training {

namespace {

using Variable = std::function<const char*(const char*)>;

Expected<std::string> text_of(const Variable& variable, const char* name) {
  const char* value = variable(name);
  if (value == nullptr || *value == '\0') {
    return invalid("distributed training: " + std::string(name) +
                   " is not set; start the processes with torchrun --no-python, or set RANK, WORLD_SIZE, "
                   "MASTER_ADDR and MASTER_PORT as it does");
  }
  return std::string(value);
}

Expected<std::int64_t> number_of(const Variable& variable, const char* name, std::int64_t least,
                                 std::int64_t most) {
  WASMGRAD_ASSIGN(const std::string text, text_of(variable, name));
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= least && number <= most)
    return number;
  return invalid("distributed training: " + std::string(name) + " is '" + text +
                 "'; expected a whole number from " + std::to_string(least) + " to " + std::to_string(most));
}

std::string_view optional_text(const Variable& variable, const char* name) {
  const char* value = variable(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Expected<Rendezvous> Rendezvous::from_environment(const Variable& variable) {
  constexpr std::int64_t kMostProcesses = 65536;
  Rendezvous found;
  WASMGRAD_ASSIGN(const std::int64_t size, number_of(variable, "WORLD_SIZE", 1, kMostProcesses));
  WASMGRAD_ASSIGN(const std::int64_t rank, number_of(variable, "RANK", 0, size - 1));
  WASMGRAD_ASSIGN(found.address, text_of(variable, "MASTER_ADDR"));
  WASMGRAD_ASSIGN(const std::int64_t port, number_of(variable, "MASTER_PORT", 1, 65535));
  found.rank = static_cast<int>(rank);
  found.size = static_cast<int>(size);
  found.port = static_cast<std::uint16_t>(port);
  // torchrun's agent may be the store, for all its processes.
  found.is_server = rank == 0 && optional_text(variable, "TORCHELASTIC_USE_AGENT_STORE") != "True";
  if (variable("TORCHELASTIC_RESTART_COUNT") != nullptr) {
    WASMGRAD_ASSIGN(found.attempt, number_of(variable, "TORCHELASTIC_RESTART_COUNT", 0, INT64_MAX));
  }
  found.interface = optional_text(variable, "GLOO_SOCKET_IFNAME");
  return found;
}

Expected<Rendezvous> Rendezvous::from_environment() {
  return from_environment([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace wasmgrad::training
