// The names of keys and the ranges of values live here and nowhere else: both directions walk the same list
// of fields.
#include "wasmgrad/runner/run_config.hpp"

#include <algorithm>
#include <type_traits>

#include "wasmgrad/training/json_fields.hpp"

namespace wasmgrad::runner {

namespace {

using training::json::Json;
using training::json::ObjectReader;
using training::json::read_scalar;
using training::json::read_text;
using training::json::refuse;
using training::json::Refused;

// Calls visit(key, field) for every training override.
template <class Overrides, class Visit>
void visit_training(Overrides& o, Visit visit) {
  visit("optimizer", o.optimizer);
  visit("learning_rate", o.learning_rate);
  visit("weight_decay", o.weight_decay);
  visit("beta1", o.beta1);
  visit("beta2", o.beta2);
  visit("epsilon", o.epsilon);
  visit("momentum", o.momentum);
  visit("alpha", o.alpha);
  visit("nesterov", o.nesterov);
  visit("loss", o.loss);
  visit("schedule", o.schedule);
  visit("warmup_epochs", o.warmup_epochs);
  visit("step_epochs", o.step_epochs);
  visit("gamma", o.gamma);
  visit("minimum_factor", o.minimum_factor);
  visit("epochs", o.epochs);
  visit("batch_size", o.batch_size);
  visit("accumulate", o.accumulate);
  visit("batches_per_epoch", o.batches_per_epoch);
  visit("shuffle", o.shuffle);
  visit("seed", o.seed);
  visit("threads", o.threads);
  visit("clip_norm", o.clip_norm);
  visit("clip_value", o.clip_value);
  visit("top_k", o.top_k);
  visit("early_stopping_patience", o.early_stopping_patience);
  visit("early_stopping_min_delta", o.early_stopping_min_delta);
  visit("early_stopping_restore_best", o.early_stopping_restore_best);
  visit("input_scale", o.input_scale);
  visit("input_offset", o.input_offset);
}

template <class Limits, class Visit>
void visit_limits(Limits& limits, Visit visit) {
  visit("memory_pages", limits.memory_pages);
  visit("wall_seconds", limits.wall_seconds);
  visit("tensor_bytes", limits.tensor_bytes);
  visit("handles", limits.handles);
  visit("output_bytes", limits.output_bytes);
  visit("process_bytes", limits.process_bytes);
}

// Less would not load libtorch and the engine.
constexpr std::uint64_t kLeastProcessBytes = std::uint64_t{256} << 20;

constexpr std::pair<View, const char*> kViews[] = {
    {View::kClassic, "classic"}, {View::kJson, "json"}, {View::kQuiet, "quiet"}};

std::vector<std::string> read_texts(const std::string& key, const Json& value) {
  if (!value.is_array()) refuse(key, value, "an array of strings");
  std::vector<std::string> texts;
  for (const Json& item : value) texts.push_back(read_text(key, item));
  return texts;
}

std::vector<Preopen> read_dirs(const std::string& key, const Json& value) {
  if (!value.is_array()) refuse(key, value, "an array of directories");
  std::vector<Preopen> dirs;
  for (const Json& item : value) {
    ObjectReader reader(key, item);
    Preopen dir;
    if (const Json* host = reader.take("host")) dir.host_path = read_text(reader.name("host"), *host);
    if (const Json* guest = reader.take("guest")) dir.guest_path = read_text(reader.name("guest"), *guest);
    if (const Json* read_only = reader.take("read_only")) {
      dir.read_only = read_scalar<bool>(reader.name("read_only"), *read_only);
    }
    reader.done();
    if (dir.host_path.empty() || dir.guest_path.empty()) refuse(key, item, "an object with host and guest");
    dirs.push_back(std::move(dir));
  }
  return dirs;
}

Limits read_limits(const Json& json) {
  Limits limits;
  ObjectReader reader("limits", json);
  visit_limits(limits, [&](const char* key, auto& field) {
    using T = std::remove_reference_t<decltype(field)>;
    if (const Json* value = reader.take(key)) field = read_scalar<T>(reader.name(key), *value);
  });
  reader.done();
  const auto check = [&](bool allowed, const char* key, const Json& value, const char* expected) {
    if (!allowed) refuse("limits." + std::string(key), value, expected);
  };
  check(limits.memory_pages >= 1 && limits.memory_pages <= 65536, "memory_pages", limits.memory_pages,
        "1 to 65536 pages of 64 KiB");
  check(limits.wall_seconds >= 0 && limits.wall_seconds <= 1e9, "wall_seconds", limits.wall_seconds,
        "0 (none) to 1e9 seconds");
  check(limits.handles >= 8 && limits.handles <= 65536, "handles", limits.handles, "8 to 65536");
  check(limits.output_bytes >= 1, "output_bytes", limits.output_bytes, "at least 1");
  check(limits.process_bytes == 0 || limits.process_bytes >= kLeastProcessBytes, "process_bytes",
        limits.process_bytes,
        "0 (what the machine has to spare) or at least 268435456, which the libraries need");
  check(limits.tensor_bytes >= 1, "tensor_bytes", limits.tensor_bytes, "at least 1");
  return limits;
}

training::Overrides read_training(const Json& json) {
  training::Overrides overrides;
  ObjectReader reader("training", json);
  visit_training(overrides, [&](const char* key, auto& field) {
    using T = typename std::remove_reference_t<decltype(field)>::value_type;
    if (const Json* value = reader.take(key)) field = read_scalar<T>(reader.name(key), *value);
  });
  reader.done();
  return overrides;
}

RunConfig read_config(const Json& json) {
  RunConfig config;
  ObjectReader reader("", json);
  if (const Json* value = reader.take("guest")) config.guest = read_text("guest", *value);
  if (const Json* value = reader.take("args")) config.args = read_texts("args", *value);
  if (const Json* value = reader.take("env")) {
    config.env = read_texts("env", *value);
    for (const std::string& entry : config.env) {
      if (entry.find('=') == std::string::npos || entry.front() == '=') refuse("env", entry, "KEY=VALUE");
    }
  }
  if (const Json* value = reader.take("dirs")) config.dirs = read_dirs("dirs", *value);
  if (const Json* value = reader.take("models")) {
    if (!value->is_object()) refuse("models", *value, "an object of names and files");
    for (const auto& [name, file] : value->items()) config.models[name] = read_text("models." + name, file);
  }
  const auto read_path = [&](const char* key, std::optional<std::filesystem::path>& field) {
    const Json* value = reader.take(key);
    if (value == nullptr) return;
    field = read_text(key, *value);
    if (field->empty()) refuse(key, *value, "a file name");
  };
  read_path("default_model", config.default_model);
  if (const Json* value = reader.take("training")) config.training = read_training(*value);
  if (const Json* value = reader.take("limits")) config.limits = read_limits(*value);
  read_path("output", config.output);
  read_path("checkpoint", config.checkpoint);
  read_path("resume", config.resume);
  read_path("interrupted_output", config.interrupted_output);
  if (const Json* value = reader.take("interpret")) config.interpret = read_scalar<bool>("interpret", *value);
  if (const Json* value = reader.take("cache_dir")) config.cache_dir = read_text("cache_dir", *value);
  if (const Json* value = reader.take("view")) {
    const std::string name = read_text("view", *value);
    const auto* found = std::ranges::find_if(kViews, [&](const auto& view) { return view.second == name; });
    if (found == std::end(kViews)) refuse("view", *value, "\"classic\", \"json\" or \"quiet\"");
    config.view = found->first;
  }
  reader.done();
  if (config.guest.empty()) throw Refused("guest is missing; expected the path of a .wasm file");
  return config;
}

}  // namespace

Expected<RunConfig> RunConfig::from_json(std::string_view json) {
  try {
    return read_config(Json::parse(json));
  } catch (const Json::parse_error& error) {
    return Error{Errc::kInvalidArgument,
                 "the configuration is not JSON: it cannot be read past byte " + std::to_string(error.byte)};
  } catch (const std::exception& error) {
    return Error{Errc::kInvalidArgument, error.what()};
  }
}

std::string RunConfig::to_json() const {
  Json json{{"guest", guest.string()},
            {"args", args},
            {"env", env},
            {"dirs", Json::array()},
            {"models", Json::object()},
            {"training", Json::object()},
            {"limits", Json::object()},
            {"interpret", interpret},
            {"cache_dir", cache_dir.string()}};
  for (const Preopen& dir : dirs) {
    json["dirs"].push_back(
        {{"host", dir.host_path.string()}, {"guest", dir.guest_path}, {"read_only", dir.read_only}});
  }
  for (const auto& [name, file] : models) json["models"][name] = file.string();
  if (default_model) json["default_model"] = default_model->string();
  if (output) json["output"] = output->string();
  if (checkpoint) json["checkpoint"] = checkpoint->string();
  if (resume) json["resume"] = resume->string();
  if (interrupted_output) json["interrupted_output"] = interrupted_output->string();
  visit_training(training, [&](const char* key, const auto& field) {
    if (!field) return;
    if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(*field)>>) {
      json["training"][key] = std::string(training::name_of(*field));
    } else {
      json["training"][key] = *field;
    }
  });
  visit_limits(limits, [&](const char* key, const auto& field) { json["limits"][key] = field; });
  for (const auto& [value, name] : kViews) {
    if (value == view) json["view"] = name;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace wasmgrad::runner
