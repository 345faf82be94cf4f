#include "wasmgrad/plugin/cli_grants.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>

namespace wasmgrad::plugin {

namespace {

// Options that take their value from the next argument; all others are flags.
constexpr std::string_view kOptionsWithValue[] = {
    "--dir",        "--env",       "--allow-command", "--forbidden-plugin",
    "--nn-preload", "--gas-limit", "--time-limit",    "--memory-page-limit"};

std::optional<Preopen> parse_directory(std::string_view text) {
  Preopen preopen;
  const std::size_t colon = text.find(':');
  preopen.guest_path = text.substr(0, colon);
  std::string_view host = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (const std::size_t flag = host.find(':'); flag != std::string_view::npos) {
    if (host.substr(flag + 1) != "readonly") return std::nullopt;
    preopen.read_only = true;
    host = host.substr(0, flag);
  }
  preopen.host_path = host;
  if (preopen.guest_path.empty() || host.empty()) return std::nullopt;
  return preopen;
}

}  // namespace

std::vector<Preopen> parse_cli_grants(std::span<const std::string> arguments) {
  std::vector<Preopen> grants;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (i == 1 && argument == "run") continue;
    // The first argument that is no option is the wasm file; what follows belongs to the guest.
    if (!argument.starts_with("--") || argument == "--") break;
    const std::size_t equals = argument.find('=');
    const std::string_view option = argument.substr(0, equals);
    if (std::ranges::find(kOptionsWithValue, option) == std::end(kOptionsWithValue)) continue;
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (++i < arguments.size()) {
      value = arguments[i];
    }
    if (option != "--dir") continue;
    if (auto preopen = parse_directory(value)) grants.push_back(std::move(*preopen));
  }
  return grants;
}

std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

}  // namespace wasmgrad::plugin
