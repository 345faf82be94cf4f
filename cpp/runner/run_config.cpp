// The names of keys and the ranges of values live here and nowhere else: both directions walk the same list
// of fields.
#include "wasmgrad/runner/run_config.hpp"

#include <algorithm>
#include <type_traits>

#include "wasmgrad/base/strict_json.hpp"
#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/options/json_fields.hpp"
#include "wasmgrad/training/options/option_table.hpp"

namespace wasmgrad::runner {

namespace {

using training::json::Json;
using training::json::ObjectReader;
using training::json::read_text;
using training::json::read_value;
using training::json::refuse;
using training::json::Refused;

template <class Limits, class Visit>
void visit_limits(Limits& limits, Visit visit) {
  visit("memory_pages", limits.memory_pages);
  visit("wall_seconds", limits.wall_seconds);
  visit("tensor_bytes", limits.tensor_bytes);
  visit("open_files", limits.open_files);
  visit("abi_handles", limits.abi_handles);
  visit("output_bytes", limits.output_bytes);
  visit("process_bytes", limits.process_bytes);
  visit("grace_seconds", limits.grace_seconds);
}

// Less would not load libtorch and the engine.
constexpr std::uint64_t kLeastProcessBytes = std::uint64_t{256} << 20;

constexpr std::pair<View, const char*> kViews[] = {
    {View::kClassic, "classic"}, {View::kJson, "json"}, {View::kQuiet, "quiet"}};

constexpr std::pair<training::Wire, const char*> kWires[] = {{training::Wire::kF32, "f32"},
                                                             {training::Wire::kBF16, "bf16"}};

constexpr std::pair<sandbox::EngineKind, const char*> kEngines[] = {
    {sandbox::EngineKind::kWasmEdge, "wasmedge"}, {sandbox::EngineKind::kWasmtime, "wasmtime"}};

// The value with this name in a table of values and names.
template <class Table>
auto read_named(const Table& table, const std::string& key, const Json& value, const char* expected) {
  const std::string name = read_text(key, value);
  const auto* found = std::ranges::find_if(table, [&](const auto& entry) { return entry.second == name; });
  if (found == std::end(table)) refuse(key, value, expected);
  return found->first;
}

// The other way round; every value is in its table.
template <class Table, class Value>
const char* name_in(const Table& table, Value wanted) {
  const char* name = table[0].second;
  for (const auto& [value, text] : table)
    if (value == wanted) name = text;
  return name;
}

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
      dir.read_only = read_value<bool>(reader.name("read_only"), *read_only);
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
    if (const Json* value = reader.take(key)) field = read_value<T>(reader.name(key), *value);
  });
  // As version 0.1 called it; goes with the next release.
  if (const Json* value = reader.take("handles"))
    limits.open_files = read_value<std::uint32_t>(reader.name("handles"), *value);
  reader.done();
  const auto check = [&](bool allowed, const char* key, const Json& value, const char* expected) {
    if (!allowed) refuse("limits." + std::string(key), value, expected);
  };
  check(limits.memory_pages >= 1 && limits.memory_pages <= 65536, "memory_pages", limits.memory_pages,
        "1 to 65536 pages of 64 KiB");
  check(limits.wall_seconds >= 0 && limits.wall_seconds <= 1e9, "wall_seconds", limits.wall_seconds,
        "0 (none) to 1e9 seconds");
  check(limits.grace_seconds >= 0 && limits.grace_seconds <= 1e9, "grace_seconds", limits.grace_seconds,
        "0 to 1e9 seconds");
  check(limits.open_files >= 8 && limits.open_files <= 65536, "open_files", limits.open_files, "8 to 65536");
  check(limits.abi_handles >= 1 && limits.abi_handles <= 1'000'000, "abi_handles", limits.abi_handles,
        "1 to 1000000");
  check(limits.output_bytes >= 1, "output_bytes", limits.output_bytes, "at least 1");
  check(limits.process_bytes == 0 || limits.process_bytes >= kLeastProcessBytes, "process_bytes",
        limits.process_bytes,
        "0 (what the machine has to spare) or at least 268435456, which the libraries need");
  check(limits.tensor_bytes >= 1, "tensor_bytes", limits.tensor_bytes, "at least 1");
  return limits;
}

Distributed read_distributed(const Json& json) {
  Distributed distributed;
  ObjectReader reader("distributed", json);
  if (const Json* value = reader.take("shard"))
    distributed.shard = read_value<bool>(reader.name("shard"), *value);
  if (const Json* value = reader.take("sync_every")) {
    distributed.average_every = read_value<std::int64_t>(reader.name("sync_every"), *value);
    if (distributed.average_every < 1) refuse("distributed.sync_every", *value, "at least 1");
  }
  if (const Json* value = reader.take("gradients"))
    distributed.wire = read_named(kWires, reader.name("gradients"), *value, "\"f32\" or \"bf16\"");
  if (const Json* value = reader.take("timeout_seconds")) {
    distributed.timeout_seconds = read_value<double>(reader.name("timeout_seconds"), *value);
    if (distributed.timeout_seconds < 0.1 || distributed.timeout_seconds > 1e6)
      refuse("distributed.timeout_seconds", *value, "0.1 to 1e6 seconds");
  }
  reader.done();
  return distributed;
}

training::Overrides read_training(const Json& json) {
  training::Overrides overrides;
  ObjectReader reader("training", json);
  training::visit_options([&](const training::OptionInfo& info, auto, auto own) {
    auto& field = own(overrides);
    using T = typename std::remove_reference_t<decltype(field)>::value_type;
    const std::string key(info.name);
    if (const Json* value = reader.take(key)) field = read_value<T>(reader.name(key), *value);
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
  if (const Json* value = reader.take("guest_config")) {
    if (!value->is_object()) refuse("guest_config", *value, "an object of names and texts");
    for (const auto& [name, text] : value->items())
      config.guest_config[name] = read_text("guest_config." + name, text);
  }
  const auto read_path = [&](const char* key, std::optional<std::filesystem::path>& field) {
    const Json* value = reader.take(key);
    if (value == nullptr) return;
    field = read_text(key, *value);
    if (field->empty()) refuse(key, *value, "a file name");
  };
  read_path("default_model", config.default_model);
  if (const Json* value = reader.take("training")) config.training = read_training(*value);
  if (const Json* value = reader.take("distributed")) config.distributed = read_distributed(*value);
  if (const Json* value = reader.take("limits")) config.limits = read_limits(*value);
  read_path("output", config.output);
  read_path("adapters", config.adapters);
  read_path("checkpoint", config.checkpoint);
  read_path("resume", config.resume);
  read_path("weights", config.weights);
  read_path("weights_output", config.weights_output);
  read_path("interrupted_output", config.interrupted_output);
  if (const Json* value = reader.take("engine"))
    config.engine = read_named(kEngines, "engine", *value, "\"wasmedge\" or \"wasmtime\"");
  if (const Json* value = reader.take("wasmtime_library"))
    config.wasmtime_library = read_text("wasmtime_library", *value);
  if (const Json* value = reader.take("interpret")) config.interpret = read_value<bool>("interpret", *value);
  if (const Json* value = reader.take("cache_dir")) config.cache_dir = read_text("cache_dir", *value);
  if (const Json* value = reader.take("view")) {
    config.view = read_named(kViews, "view", *value, "\"classic\", \"json\" or \"quiet\"");
  }
  reader.done();
  if (config.guest.empty()) throw Refused("guest is missing; expected the path of a .wasm file");
  return config;
}

}  // namespace

Expected<RunConfig> RunConfig::from_json(std::string_view json) {
  constexpr int kMaxDepth = 8;
  auto parsed = parse_strict_json(json, "the configuration", kMaxDepth);
  if (!parsed) return Error{Errc::kInvalidArgument, parsed.error().message};
  try {
    return read_config(*parsed);
  } catch (const std::exception& error) {
    return Error{Errc::kInvalidArgument, error.what()};
  }
}

Status RunConfig::set_training(const std::string& key, const std::string& text) {
  bool known = false;
  std::string names;
  try {
    training::visit_options([&](const training::OptionInfo& info, auto, auto own) {
      names += (names.empty() ? "" : ", ") + std::string(info.name);
      if (info.name != key) return;
      known = true;
      auto& field = own(training);
      using T = typename std::remove_reference_t<decltype(field)>::value_type;
      Json value = text;
      if constexpr (std::is_same_v<T, std::vector<std::string>>) {
        value = Json::array({text});
      } else if constexpr (!std::is_enum_v<T>) {
        const Json number = Json::parse(text, nullptr, /*allow_exceptions=*/false);
        if (!number.is_discarded()) value = number;
      }
      field = read_value<T>(key, value);
    });
  } catch (const Refused& refused) {
    return Error{Errc::kInvalidArgument, refused.what()};
  }
  if (known) return {};
  return Error{Errc::kInvalidArgument, "there is no option '" + key + "'; known are " + names};
}

Status RunConfig::check_texts() const {
  const auto check = [](const std::string& what, const std::string& text) -> Status {
    if (is_utf8(text)) return {};
    return Error{Errc::kInvalidArgument, what + " is not UTF-8: '" + printable(text) + "'"};
  };
  WASMGRAD_CHECK(check("the guest's file name", guest.string()));
  for (std::size_t i = 0; i < args.size(); ++i)
    WASMGRAD_CHECK(check("argument " + std::to_string(i + 1) + " of the guest", args[i]));
  for (const std::string& entry : env) WASMGRAD_CHECK(check("a variable of the guest", entry));
  for (const Preopen& dir : dirs) {
    WASMGRAD_CHECK(check("the path of a directory", dir.host_path.string()));
    WASMGRAD_CHECK(check("a directory's path in the guest", dir.guest_path));
  }
  for (const auto& [name, file] : models) {
    WASMGRAD_CHECK(check("a model's name", name));
    WASMGRAD_CHECK(check("a model's file name", file.string()));
  }
  for (const auto& [name, text] : guest_config) {
    WASMGRAD_CHECK(check("a name of the guest's configuration", name));
    WASMGRAD_CHECK(check("a value of the guest's configuration", text));
  }
  for (const auto& path :
       {default_model, output, adapters, checkpoint, resume, weights, weights_output, interrupted_output})
    if (path) WASMGRAD_CHECK(check("a file name", path->string()));
  WASMGRAD_CHECK(check("the path of the cache", cache_dir.string()));
  return check("the path of wasmtime's library", wasmtime_library.string());
}

std::string RunConfig::to_json() const {
  Json json{{"guest", guest.string()},
            {"args", args},
            {"env", env},
            {"dirs", Json::array()},
            {"models", Json::object()},
            {"guest_config", guest_config},
            {"training", Json::object()},
            {"limits", Json::object()},
            {"engine", name_in(kEngines, engine)},
            {"wasmtime_library", wasmtime_library.string()},
            {"interpret", interpret},
            {"cache_dir", cache_dir.string()}};
  for (const Preopen& dir : dirs) {
    json["dirs"].push_back(
        {{"host", dir.host_path.string()}, {"guest", dir.guest_path}, {"read_only", dir.read_only}});
  }
  for (const auto& [name, file] : models) json["models"][name] = file.string();
  if (default_model) json["default_model"] = default_model->string();
  if (output) json["output"] = output->string();
  if (adapters) json["adapters"] = adapters->string();
  if (checkpoint) json["checkpoint"] = checkpoint->string();
  if (resume) json["resume"] = resume->string();
  if (weights) json["weights"] = weights->string();
  if (weights_output) json["weights_output"] = weights_output->string();
  if (interrupted_output) json["interrupted_output"] = interrupted_output->string();
  training::visit_options([&](const training::OptionInfo& info, auto, auto own) {
    const auto& field = own(training);
    const std::string key(info.name);
    if (!field) return;
    if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(*field)>>) {
      json["training"][key] = std::string(training::name_of(*field));
    } else {
      json["training"][key] = *field;
    }
  });
  if (distributed) {
    json["distributed"] = {{"shard", distributed->shard},
                           {"sync_every", distributed->average_every},
                           {"gradients", name_in(kWires, distributed->wire)},
                           {"timeout_seconds", distributed->timeout_seconds}};
  }
  visit_limits(limits, [&](const char* key, const auto& field) { json["limits"][key] = field; });
  json["view"] = name_in(kViews, view);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace wasmgrad::runner
