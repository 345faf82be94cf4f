#include "wasmgrad/tools/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <sstream>
#include <type_traits>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/tools/cache_dir.hpp"
#include "wasmgrad/tools/distributed_options.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/tools/limit_options.hpp"
#include "wasmgrad/tools/old_spelling.hpp"
#include "wasmgrad/training/options/option_table.hpp"

namespace wasmgrad::tools {

namespace {

using runner::RunConfig;
using runner::View;

// An option that is parsed by a function returning Expected; its error becomes a usage error.
template <class Parse, class Store>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, Parse parse, Store store,
                        const std::string& help) {
  return app.add_option_function<std::vector<std::string>>(
      name,
      [=](const std::vector<std::string>& values) {
        for (const std::string& value : values) {
          auto parsed = parse(value);
          if (!parsed) throw CLI::ValidationError(name, parsed.error().message);
          store(std::move(parsed).value());
        }
      },
      help);
}

Expected<std::pair<std::string, std::string>> parse_pair(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    return Error{Errc::kInvalidArgument, "'" + text + "' is not of the form NAME=VALUE"};
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Expected<std::string> parse_environment(const std::string& text) {
  if (text.find('=') == std::string::npos || text.front() == '=') {
    return Error{Errc::kInvalidArgument, "'" + text + "' is not of the form KEY=VALUE"};
  }
  return text;
}

Expected<sandbox::EngineKind> parse_engine(const std::string& text) {
  if (text == "wasmedge") return sandbox::EngineKind::kWasmEdge;
  if (text == "wasmtime") return sandbox::EngineKind::kWasmtime;
  return Error{Errc::kInvalidArgument, "'" + text + "' is no engine; expected wasmedge or wasmtime"};
}

void add_guest_options(CLI::App& app, RunConfig& config) {
  add_parsed(
      app, "--model", parse_pair, [&config](const auto& pair) { config.models[pair.first] = pair.second; },
      "NAME=FILE: a model that the guest may use by name")
      ->allow_extra_args(false);
  app.add_option("--default-model", config.default_model, "The model of guests whose import names none");
  add_parsed(
      app, "--dir", Preopen::parse, [&config](const auto& dir) { config.dirs.push_back(dir); },
      "HOST:GUEST[:ro]: a directory that the guest may use")
      ->allow_extra_args(false);
  add_parsed(
      app, "--env", parse_environment, [&config](const auto& entry) { config.env.push_back(entry); },
      "KEY=VALUE: an environment variable of the guest, which inherits none")
      ->allow_extra_args(false);
  add_parsed(
      app, "--engine", parse_engine, [&config](const auto& engine) { config.engine = engine; },
      "wasmedge or wasmtime")
      ->allow_extra_args(false);
  app.add_option("--wasmtime", config.wasmtime_library,
                 "The shared library of wasmtime's C API; without it, the one that the loader finds")
      ->envname("WASMGRAD_WASMTIME");
  app.add_flag("--interpret", config.interpret, "Interpret the guest instead of compiling it ahead of time");
  app.add_option("--cache-dir", config.cache_dir, "Where compiled guests are kept; empty: nowhere")
      ->default_val(default_cache_dir());
}

// Options of training as they were given: keys of the table, and texts.
using Settings = std::vector<std::pair<std::string, std::string>>;

CLI::Option* add_training_options(CLI::App& app, Settings& settings) {
  // The spellings of version 0.1, an option each.
  training::visit_options([&](const training::OptionInfo& info, auto, auto own) {
    using T =
        typename std::remove_reference_t<decltype(own(std::declval<training::Overrides&>()))>::value_type;
    const std::string key(info.name);
    std::string name = "--" + key;
    std::ranges::replace(name, '_', '-');
    const auto take = [&settings, key, name](const std::string& value) {
      tell_old_spelling("wasmgrad-train", name, "--set " + key + "=VALUE");
      settings.emplace_back(key, value);
    };
    if constexpr (std::is_same_v<T, bool>) {
      app.add_flag_function(
             name + ",!--no-" + name.substr(2),
             [take](std::int64_t count) { take(count > 0 ? "true" : "false"); }, "")
          ->group("");
    } else {
      if (!info.flag.empty()) name += ",--" + std::string(info.flag);
      app.add_option_function<std::string>(name, take, "")->group("");
    }
  });
  return add_parsed(
             app, "--set", parse_pair, [&settings](const auto& pair) { settings.push_back(pair); },
             "KEY=VALUE: an option of training in place of the guest's choice; all of them stand below")
      ->allow_extra_args(false);
}

// Throws CLI::Error.
RunConfig with(RunConfig config, const Settings& settings) {
  for (const auto& [key, value] : settings) {
    const Status status = config.set_training(key, value);
    if (!status) throw CLI::ValidationError(status.error().message);
  }
  return config;
}

// Every option of training, for the end of the help.
std::string training_help() {
  std::ostringstream text;
  text << "Options of training (--set KEY=VALUE):";
  training::visit_options([&](const training::OptionInfo& info, auto, auto) {
    text << "\n  " << std::left << std::setw(26) << info.name << info.help << " [" << info.default_text
         << "]";
  });
  return text.str();
}

// The configuration that `--config` names. Throws CLI::Error.
RunConfig read_config(const std::string& source) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{16} << 20;
  std::string text;
  if (source == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    const auto bytes = read_file(source, kMaxBytes);
    if (!bytes) throw CLI::ValidationError("--config", bytes.error().message);
    text.assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }
  auto config = RunConfig::from_json(text);
  if (!config) throw CLI::ValidationError("--config", config.error().message);
  return std::move(config).value();
}

// Ranges are checked in one place, that of the JSON form.
RunConfig checked(const RunConfig& config) {
  if (const Status texts = config.check_texts(); !texts) throw CLI::ValidationError(texts.error().message);
  auto same = RunConfig::from_json(config.to_json());
  if (!same) throw CLI::ValidationError(same.error().message);
  return std::move(same).value();
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CLI::App app("Runs a WebAssembly guest that trains a neural network, in a sandbox of its own process.",
               "wasmgrad-train");
  app.set_version_flag("--version", "wasmgrad-train " WASMGRAD_VERSION);
  // What is no option starts the guest's part: its file, and arguments that are its own even where they look
  // like ours.
  app.prefix_command();
  app.footer("GUEST [ARGS...] follow the options: the guest, a .wasm file, and its arguments.\n\n" +
             training_help());

  RunConfig config;
  std::string config_source;
  Settings settings;
  bool json = false, quiet = false, classic = false;
  add_guest_options(app, config);
  const CLI::Option* set = add_training_options(app, settings);
  add_limit_options(app, config.limits);
  bool distributed = false;
  runner::Distributed how;
  add_distributed_options(app, distributed, how);
  app.add_option("--output", config.output, "The trained model; without it, trained_<name> beside the model");
  app.add_option("--adapters", config.adapters,
                 "The trained low-rank branches, as PEFT's adapter_model.safetensors");
  app.add_option("--checkpoint", config.checkpoint, "Written after each epoch and when interrupted");
  app.add_option("--resume", config.resume, "A checkpoint to go on from");
  auto* views = app.add_option_group("View");
  views->add_flag("--classic", classic, "Console lines (the default)");
  views->add_flag("--json", json, "One JSON event a line on the standard output");
  views->add_flag("--quiet", quiet, "The guest's own output only");
  views->require_option(0, 1);
  std::optional<int> parent;
  const auto* parent_option = app.add_option("--parent", parent, "The process whose end ends this run");
  auto* from_file = app.add_option(
      "--config", config_source,
      "The whole configuration as JSON, from a file or - for the standard input; --set may follow");
  try {
    app.parse(argc, argv);
    const std::vector<std::string> rest = app.remaining();
    if (!rest.empty() && rest.front().starts_with('-')) throw CLI::ExtrasError({rest.front()});
    if (from_file->count() != 0) {
      if (!rest.empty()) throw CLI::ExcludesError("--config", "GUEST");
      for (const CLI::Option* option : app.parse_order()) {
        if (option != from_file && option != set && option != parent_option)
          throw CLI::ExcludesError("--config", option->get_name());
      }
      return {checked(with(read_config(config_source), settings)), kExitOk, parent, true};
    }
    if (rest.empty()) throw CLI::RequiredError("GUEST");
    config.guest = rest.front();
    config.args.assign(rest.begin() + 1, rest.end());
    if (distributed) config.distributed = how;
    config.view = json ? View::kJson : quiet ? View::kQuiet : View::kClassic;
    return {checked(with(std::move(config), settings)), kExitOk, parent};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? kExitOk : kExitUsage, std::nullopt};
  }
}

}  // namespace wasmgrad::tools
