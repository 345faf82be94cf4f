#include "wasmgrad/abi/v1/trainer_options.hpp"

#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/json_fields.hpp"

namespace wasmgrad::abi::v1 {

namespace {

using training::json::Json;
using training::json::ObjectReader;
using training::json::read_scalar;
using training::json::read_text;
using training::json::refuse;
using training::json::Refused;

/// Nothing in the options is nested deeper than this; what is could make a reader overflow its stack.
constexpr int kMaxDepth = 8;

Json parse(std::string_view text) {
  std::vector<std::set<std::string>> keys;  // of each object that is open
  const auto check = [&keys](int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxDepth) throw Refused("the options are nested more than 8 deep");
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw Refused("the key '" + parsed.get<std::string>() + "' is given twice");
    }
    return true;
  };
  return Json::parse(text, check);
}

class OptionsReader {
 public:
  training::TrainerOptions read(const Json& json) {
    if (!json.is_object()) refuse("the options", json, "an object");
    ObjectReader top("", json);
    if (const Json* value = top.take("optimizer")) read_optimizer(*value);
    if (const Json* value = top.take("loss")) read_loss(*value);
    if (const Json* value = top.take("schedule")) read_schedule(*value);
    take(top, "epochs", options_.epochs);
    take(top, "batch_size", options_.batch_size);
    take(top, "batches_per_epoch", options_.batches_per_epoch);
    take(top, "shuffle", options_.shuffle);
    take(top, "seed", options_.seed);
    take(top, "threads", options_.threads);
    take(top, "accumulate", options_.accumulate);
    take(top, "clip_norm", options_.clip_norm);
    take(top, "clip_value", options_.clip_value);
    take(top, "top_k", options_.top_k);
    if (const Json* value = top.take("early_stopping")) {
      ObjectReader reader("early_stopping", *value);
      take(reader, "patience", options_.early_stopping_patience);
      take(reader, "min_delta", options_.early_stopping_min_delta);
      take(reader, "restore_best", options_.early_stopping_restore_best);
      reader.done();
    }
    if (const Json* value = top.take("inputs")) read_inputs(*value);
    if (const Json* value = top.take("freeze")) {
      if (!value->is_array()) refuse("freeze", *value, "an array of patterns");
      for (const Json& pattern : *value) options_.freeze.push_back(read_text("freeze", pattern));
    }
    top.done();
    options_.keep_integers = true;
    return options_;
  }

 private:
  template <class T>
  static void take(ObjectReader& reader, const std::string& key, T& field) {
    if (const Json* value = reader.take(key)) field = read_scalar<T>(reader.name(key), *value);
  }
  template <class T>
  static void take(ObjectReader& reader, const std::string& key, std::optional<T>& field) {
    if (const Json* value = reader.take(key)) field = read_scalar<T>(reader.name(key), *value);
  }

  // A kind by its name alone, or as an object with the key "name", whose other keys read_rest(reader) takes.
  template <class Kind, class ReadRest>
  static void read_named(const std::string& key, const Json& json, Kind& kind, ReadRest read_rest) {
    if (json.is_string()) {
      kind = read_scalar<Kind>(key, json);
      return;
    }
    if (!json.is_object()) refuse(key, json, "a name, or an object with the key \"name\"");
    ObjectReader reader(key, json);
    take(reader, "name", kind);
    read_rest(reader);
    reader.done();
  }

  void read_optimizer(const Json& json) {
    training::OptimizerOptions& optimizer = options_.optimizer;
    read_named("optimizer", json, optimizer.kind, [&](ObjectReader& reader) {
      take(reader, "learning_rate", optimizer.learning_rate);
      take(reader, "weight_decay", optimizer.weight_decay);
      take(reader, "beta1", optimizer.beta1);
      take(reader, "beta2", optimizer.beta2);
      take(reader, "epsilon", optimizer.epsilon);
      take(reader, "momentum", optimizer.momentum);
      take(reader, "nesterov", optimizer.nesterov);
      take(reader, "alpha", optimizer.alpha);
    });
  }

  void read_schedule(const Json& json) {
    training::ScheduleOptions& schedule = options_.schedule;
    read_named("schedule", json, schedule.kind, [&](ObjectReader& reader) {
      take(reader, "warmup_epochs", schedule.warmup_epochs);
      take(reader, "step_epochs", schedule.step_epochs);
      take(reader, "gamma", schedule.gamma);
      take(reader, "minimum_factor", schedule.minimum_factor);
    });
  }

  // One for all outputs, the model's own, or an object with one for each output.
  void read_loss(const Json& json) {
    if (json == "model") {
      options_.model_loss = true;
    } else if (json.is_string()) {
      options_.loss = read_scalar<training::LossKind>("loss", json);
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
  try {
    return OptionsReader().read(parse(text));
  } catch (const Json::parse_error& error) {
    return Error{Errc::kInvalidEncoding,
                 "the options are not JSON: they cannot be read past byte " + std::to_string(error.byte)};
  } catch (const Json::out_of_range&) {
    return Error{Errc::kInvalidArgument, "the options have a number that no f64 holds"};
  } catch (const Refused& error) {
    return Error{Errc::kInvalidArgument, printable(error.what())};  // it may quote the text
  }
}

}  // namespace wasmgrad::abi::v1
