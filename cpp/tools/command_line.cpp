#include "wasmgrad/tools/command_line.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/tools/cache_dir.hpp"
#include "wasmgrad/tools/exit_code.hpp"

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
  app.add_flag("--interpret", config.interpret, "Interpret the guest instead of compiling it ahead of time");
  app.add_option("--cache-dir", config.cache_dir, "Where compiled guests are kept; empty: nowhere")
      ->default_val(default_cache_dir());
}

void add_training_options(CLI::App& app, training::Overrides& training) {
  const auto group = "In place of the guest's choices";
  const auto add = [&](const std::string& name, auto& field, const std::string& help) {
    app.add_option(name, field, help)->group(group);
  };
  add_parsed(
      app, "--optimizer", training::parse_optimizer, [&](auto kind) { training.optimizer = kind; },
      "adam, adamw, sgd or rmsprop")
      ->group(group);
  add_parsed(
      app, "--loss", training::parse_loss, [&](auto kind) { training.loss = kind; },
      "cross_entropy, cross_entropy_probabilities, mse, l1, huber or bce_with_logits")
      ->group(group);
  add_parsed(
      app, "--schedule", training::parse_schedule, [&](auto kind) { training.schedule = kind; },
      "Learning rate over time: constant, step or cosine")
      ->group(group);
  add("--epochs", training.epochs, "Passes over the training data");
  add("--batch-size", training.batch_size, "Samples a step");
  add("--batches-per-epoch", training.batches_per_epoch, "Steps an epoch; all of the data without it");
  add("--lr", training.learning_rate, "Learning rate");
  add("--warmup-epochs", training.warmup_epochs, "Epochs of linear warm-up");
  add("--step-epochs", training.step_epochs, "Schedule step: epochs between two decays");
  add("--gamma", training.gamma, "Schedule step: factor of a decay");
  add("--minimum-factor", training.minimum_factor, "Schedule cosine: factor at the end");
  add("--weight-decay", training.weight_decay, "L2 penalty, decoupled for adamw");
  add("--momentum", training.momentum, "Of sgd and rmsprop");
  app.add_flag("--nesterov,!--no-nesterov", training.nesterov, "Nesterov momentum of sgd")->group(group);
  add("--beta1", training.beta1, "Of adam and adamw");
  add("--beta2", training.beta2, "Of adam and adamw");
  add("--epsilon", training.epsilon, "Of adam, adamw and rmsprop");
  add("--alpha", training.alpha, "Smoothing of rmsprop");
  add("--clip-norm", training.clip_norm, "Greatest norm of all gradients together");
  add("--clip-value", training.clip_value, "Greatest magnitude of a gradient element");
  add("--early-stopping,--early-stopping-patience", training.early_stopping_patience,
      "Epochs without improvement before stopping; 0: never");
  add("--early-stopping-min-delta", training.early_stopping_min_delta, "What counts as improvement");
  app.add_flag("--early-stopping-restore-best,!--no-early-stopping-restore-best",
               training.early_stopping_restore_best,
               "The model ends with the weights of its best epoch when stopped early (the default)")
      ->group(group);
  add("--top-k", training.top_k, "k of the second accuracy");
  add("--input-scale", training.input_scale, "Inputs are multiplied by this");
  add("--input-offset", training.input_offset, "and this is added");
  app.add_flag("--shuffle,!--no-shuffle", training.shuffle, "A new order of the data each epoch")
      ->group(group);
  add("--seed", training.seed, "Of everything random");
  add("--threads", training.threads, "Threads of the training host; 0: as many as there are processors");
}

void add_limit_options(CLI::App& app, runner::Limits& limits) {
  const auto add = [&](const std::string& name, auto& field, const std::string& help) {
    app.add_option(name, field, help)->group("Limits")->capture_default_str();
  };
  add("--max-memory-pages", limits.memory_pages, "Linear memory of the guest, in pages of 64 KiB");
  add("--wall-time", limits.wall_seconds, "Seconds that the run may take; 0: any");
  add("--max-tensor-bytes", limits.tensor_bytes, "Host copies of tensors, and parameters of the model");
  add("--max-handles", limits.handles, "Files that the guest may have open at once");
  add("--max-output-bytes", limits.output_bytes, "Console output, and the size of any file");
  add("--max-process-bytes", limits.process_bytes,
      "All that the worker allocates; 0: three quarters of what the machine has to spare");
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
  app.footer("GUEST [ARGS...] follow the options: the guest, a .wasm file, and its arguments.");

  RunConfig config;
  std::string config_source;
  bool json = false, quiet = false, classic = false;
  add_guest_options(app, config);
  add_training_options(app, config.training);
  add_limit_options(app, config.limits);
  app.add_option("--output", config.output,
                 "Where the trained model goes; else trained_<name> beside the model");
  app.add_option("--checkpoint", config.checkpoint,
                 "Where the state goes after each epoch and when interrupted");
  app.add_option("--resume", config.resume, "A checkpoint to go on from");
  auto* views = app.add_option_group("View");
  views->add_flag("--classic", classic, "Console lines (the default)");
  views->add_flag("--json", json, "One JSON event a line on the standard output");
  views->add_flag("--quiet", quiet, "The guest's own output only");
  views->require_option(0, 1);
  auto* from_file =
      app.add_option("--config", config_source, "All of it as JSON, from a file or - for the standard input");
  try {
    app.parse(argc, argv);
    const std::vector<std::string> rest = app.remaining();
    if (!rest.empty() && rest.front().starts_with('-')) throw CLI::ExtrasError({rest.front()});
    if (from_file->count() != 0) {
      if (!rest.empty()) throw CLI::ExcludesError("--config", "GUEST");
      for (const CLI::Option* option : app.parse_order()) {
        if (option != from_file) throw CLI::ExcludesError("--config", option->get_name());
      }
      return {read_config(config_source), kExitOk, true};
    }
    if (rest.empty()) throw CLI::RequiredError("GUEST");
    config.guest = rest.front();
    config.args.assign(rest.begin() + 1, rest.end());
    config.view = json ? View::kJson : quiet ? View::kQuiet : View::kClassic;
    return {checked(config), kExitOk};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? kExitOk : kExitUsage};
  }
}

}  // namespace wasmgrad::tools
