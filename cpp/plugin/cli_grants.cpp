#include "wasmgrad/plugin/cli_grants.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <initializer_list>
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

// The values of one option, as far as they belong to the program.
std::vector<std::string_view> values_of(std::span<const std::string> arguments, std::string_view wanted) {
  std::vector<std::string_view> values;
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
    if (option == wanted) values.push_back(value);
  }
  return values;
}

// The text up to the next colon, which is taken away with it.
std::string_view take_part(std::string_view& text) {
  const std::size_t colon = text.find(':');
  const std::string_view part = text.substr(0, colon);
  text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  return part;
}

// `choices` are in lower case.
bool is_one_of(std::string_view text, std::initializer_list<std::string_view> choices) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::ranges::find(choices, lower) != choices.end();
}

}  // namespace

std::vector<Preopen> parse_cli_grants(std::span<const std::string> arguments) {
  std::vector<Preopen> grants;
  for (const std::string_view value : values_of(arguments, "--dir")) {
    if (auto preopen = parse_directory(value)) grants.push_back(std::move(*preopen));
  }
  return grants;
}

std::map<std::string, std::filesystem::path> parse_cli_models(std::span<const std::string> arguments) {
  std::map<std::string, std::filesystem::path> models;
  for (std::string_view value : values_of(arguments, "--nn-preload")) {
    const std::string_view name = take_part(value), encoding = take_part(value), target = take_part(value);
    if (name.empty() || value.empty() || !is_one_of(encoding, {"pytorch", "autodetect"}) ||
        !is_one_of(target, {"cpu", "auto"})) {
      continue;
    }
    models.insert_or_assign(std::string(name), std::filesystem::path(value));
  }
  return models;
}

std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

}  // namespace wasmgrad::plugin
