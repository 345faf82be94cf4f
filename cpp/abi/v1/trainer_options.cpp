#include "wasmgrad/abi/v1/trainer_options.hpp"

#include <string>
#include <type_traits>
#include <vector>

#include "wasmgrad/base/strict_json.hpp"
#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/options/json_fields.hpp"
#include "wasmgrad/training/options/option_table.hpp"

namespace wasmgrad::abi::v1 {

namespace {

using training::json::Json;
using training::json::ObjectReader;
using training::json::read_text;
using training::json::read_value;
using training::json::refuse;
using training::json::Refused;

/// Nothing in the options is nested deeper than this; what is could make a reader overflow its stack.
constexpr int kMaxDepth = 8;

class OptionsReader {
 public:
  training::TrainerOptions read(const Json& json) {
    if (!json.is_object()) refuse("the options", json, "an object");
    ObjectReader top("", json);
    if (const Json* value = top.take("optimizer"))
      read_named("optimizer", *value, options_.optimizer.kind, [&](ObjectReader& reader) {
        take_group(reader, "optimizer");
        if (const Json* groups = reader.take("groups")) read_groups(*groups);
      });
    if (const Json* value = top.take("loss")) read_loss(*value);
    if (const Json* value = top.take("schedule"))
      read_named("schedule", *value, options_.schedule.kind,
                 [&](ObjectReader& reader) { take_group(reader, "schedule"); });
    take_group(top, "");
    if (const Json* value = top.take("early_stopping")) {
      ObjectReader reader("early_stopping", *value);
      take_group(reader, "early_stopping");
      reader.done();
    }
    if (const Json* value = top.take("inputs")) read_inputs(*value);
    top.done();
    options_.keep_integers = true;
    return options_;
  }

 private:
  template <class T>
  static void take(ObjectReader& reader, const std::string& key, T& field) {
    if (const Json* value = reader.take(key)) field = read_value<T>(reader.name(key), *value);
  }
  template <class T>
  static void take(ObjectReader& reader, const std::string& key, std::optional<T>& field) {
    if (const Json* value = reader.take(key)) field = read_value<T>(reader.name(key), *value);
  }

  // Every option of the group but those that are read by hand: names and losses.
  void take_group(ObjectReader& reader, std::string_view group) {
    training::visit_options([&](const training::OptionInfo& info, auto field, auto) {
      using T = std::remove_reference_t<decltype(field(options_))>;
      if constexpr (!std::is_enum_v<T> || std::is_same_v<T, training::Precision>) {
        if (info.group == group && !info.key.empty()) take(reader, std::string(info.key), field(options_));
      }
    });
  }

  // A kind by its name alone, or as an object with the key "name", whose other keys read_rest(reader) takes.
  template <class Kind, class ReadRest>
  static void read_named(const std::string& key, const Json& json, Kind& kind, ReadRest read_rest) {
    if (json.is_string()) {
      kind = read_value<Kind>(key, json);
      return;
    }
    if (!json.is_object()) refuse(key, json, "a name, or an object with the key \"name\"");
    ObjectReader reader(key, json);
    take(reader, "name", kind);
    read_rest(reader);
    reader.done();
  }

  // One for all outputs, the model's own, or an object with one for each output.
  void read_loss(const Json& json) {
    if (json == "model") {
      options_.model_loss = true;
    } else if (json.is_string()) {
      options_.loss = read_value<training::LossKind>("loss", json);
    } else if (json.is_object() && !json.empty()) {
      for (const auto& [output, value] : json.items()) {
        training::OutputLoss loss;
        loss.output = output;
        read_named("loss." + output, value, loss.kind,
                   [&](ObjectReader& reader) { take(reader, "weight", loss.weight); });
        options_.losses.push_back(std::move(loss));
      }
    } else {
      refuse("loss", json, "a name, \"model\", or an object of outputs and names");
    }
  }

  void read_groups(const Json& json) {
    if (!json.is_array()) refuse("optimizer.groups", json, "an array of objects");
    for (const Json& value : json) {
      training::ParameterGroup group;
      ObjectReader reader("optimizer.groups", value);
      const Json* pattern = reader.take("parameters");
      if (pattern == nullptr) refuse("optimizer.groups", value, "the key \"parameters\", a pattern, in each");
      group.parameters = read_text("optimizer.groups.parameters", *pattern);
      take(reader, "learning_rate", group.learning_rate);
      take(reader, "weight_decay", group.weight_decay);
      reader.done();
      options_.optimizer.groups.push_back(std::move(group));
    }
  }

  void read_inputs(const Json& json) {
    if (!json.is_object()) refuse("inputs", json, "an object of inputs and their scale and offset");
    for (const auto& [name, value] : json.items()) {
      training::InputScale input;
      input.input = name;
      ObjectReader reader("inputs." + name, value);
      take(reader, "scale", input.scale);
      take(reader, "offset", input.offset);
      reader.done();
      options_.inputs.push_back(std::move(input));
    }
  }

  training::TrainerOptions options_;
};

}  // namespace

Expected<training::TrainerOptions> read_trainer_options(std::string_view text) {
  WASMGRAD_ASSIGN(const Json json, parse_strict_json(text, "the text of the options", kMaxDepth));
  try {
    return OptionsReader().read(json);
  } catch (const Refused& error) {
    return Error{Errc::kInvalidArgument, printable(error.what())};  // it may quote the text
  }
}

}  // namespace wasmgrad::abi::v1
