#include "wasmgrad/training/state/checkpoint.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "wasmgrad/training/state/safetensors.hpp"

namespace wasmgrad::training {

namespace {

using Metadata = std::map<std::string, std::string>;

constexpr std::string_view kFormatKey = "wasmgrad_checkpoint";
constexpr std::string_view kFormatVersion = "2";
constexpr std::string_view kChecksumKey = "checksum";
constexpr std::string_view kSettingPrefix = "set.";
constexpr std::string_view kBestShownKey = "best_shown";
/// Counters that files of before there were they lack.
constexpr std::array<std::string_view, 5> kLaterCounters = {"epoch_ranked", "best_epoch", "plateau_best_loss",
                                                            "plateau_stale_epochs", "plateau_decays"};

/// Exact text of a double, and back.
std::string exact(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%a", value);
  return text;
}

std::optional<double> parse_exact(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_count(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

/// FNV-1a over 64-bit words, of the tensors in the file's order: finds damage, not malice.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t count = std::min<std::size_t>(sizeof(std::uint64_t), bytes.size());
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), count);
      hash_ = (hash_ ^ word) * 0x100000001B3;
      hash_ ^= hash_ >> 32;
      bytes = bytes.subspan(count);
    }
  }
  [[nodiscard]] std::string text() const { return std::to_string(hash_); }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325;
};

/// Options on which the meaning of the counters or the tensors depends.
std::string described_loss(const TrainerOptions& options) {
  if (options.model_loss) return "model";
  if (options.losses.empty()) return std::string(name_of(options.loss));
  std::string text;
  for (const OutputLoss& loss : options.losses) {
    text += (text.empty() ? "" : ", ") + loss.output + ": " + std::string(name_of(loss.kind)) + " * " +
            exact(loss.weight);
  }
  return text;
}

std::string listed(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + text;
  return list.empty() ? "nothing" : list;
}

/// What is in a checkpoint only where it is not as usual: the keys, and what is usual.
constexpr std::string_view kLoraKey = "lora";
constexpr std::string_view kPrecisionKey = "precision";
struct Usual {
  std::string_view key, value;
};
constexpr Usual kUsual[] = {{kLoraKey, "nothing"}, {kPrecisionKey, "f32"}};
constexpr const char* kThreadsKey = "threads";

Metadata shared_options(const TrainerOptions& options, int threads) {
  Metadata shared = {
      {"optimizer", std::string(name_of(options.optimizer.kind))},
      {"loss", described_loss(options)},
      {"freeze", listed(options.freeze)},
      {"seed", std::to_string(options.seed)},
      {kThreadsKey, std::to_string(threads)},
      {"batch_size", std::to_string(options.batch_size)},
      {"accumulate", std::to_string(options.accumulate)},
      {"batches_per_epoch", options.batches_per_epoch ? std::to_string(*options.batches_per_epoch) : "all"},
      {"shuffle", options.shuffle ? "on" : "off"}};
  if (!options.lora.empty()) shared.emplace(kLoraKey, listed(options.lora));
  if (options.precision != Precision::kF32) shared.emplace(kPrecisionKey, name_of(options.precision));
  return shared;
}

/// Calls `visit(name, field)` for each counter, so that writing and reading cannot disagree.
template <class Counters, class Visitor>
void for_each_counter(Counters& counters, Visitor&& visit) {
  visit("step", counters.step);
  visit("passes", counters.passes);
  visit("epoch", counters.epoch);
  visit("batch", counters.batch);
  visit("train_samples", counters.train_samples);
  visit("epoch_samples", counters.sum.samples);
  visit("epoch_ranked", counters.sum.ranked);
  visit("epoch_correct", counters.sum.correct);
  visit("epoch_in_top_k", counters.sum.in_top_k);
  visit("epoch_classes", counters.sum.classes);
  visit("epoch_loss", counters.sum.loss);
  visit("best_loss", counters.best_loss);
  visit("stale_epochs", counters.stale_epochs);
  visit("best_epoch", counters.best_epoch);
  visit("plateau_best_loss", counters.plateau.best_loss);
  visit("plateau_stale_epochs", counters.plateau.stale_epochs);
  visit("plateau_decays", counters.plateau.decays);
}

std::string to_text(std::int64_t value) { return std::to_string(value); }
std::string to_text(double value) { return exact(value); }
std::optional<std::int64_t> from_text(const std::string& text, std::int64_t /*type*/) {
  return parse_count(text);
}
std::optional<double> from_text(const std::string& text, double /*type*/) { return parse_exact(text); }

Error differs(const std::string& what, const std::string& theirs, const std::string& ours) {
  return {Errc::kInvalidArgument,
          "checkpoint: " + what + " is " + theirs + " there and " + ours + " in this run"};
}

Expected<Counters> read_counters(const Metadata& metadata) {
  Counters counters;
  Status status;
  for_each_counter(counters, [&](const char* key, auto& field) {
    const auto found = metadata.find(key);
    const auto value = found == metadata.end() ? std::nullopt : from_text(found->second, field);
    if (value) {
      field = *value;
    } else if (status.ok() &&
               (found != metadata.end() || std::ranges::find(kLaterCounters, key) == kLaterCounters.end())) {
      status = Error{Errc::kInvalidEncoding,
                     "checkpoint: the counter '" + std::string(key) + "' is missing or damaged"};
    }
  });
  if (!status) return status.error();
  if (!metadata.contains("epoch_ranked") && counters.sum.classes > 0)
    counters.sum.ranked = counters.sum.samples;
  return counters;
}

Expected<Settings> read_settings(const Metadata& metadata) {
  Settings settings;
  for (const std::string_view key : kSettings) {
    const auto found = metadata.find(std::string(kSettingPrefix) + std::string(key));
    if (found == metadata.end()) continue;
    const auto value = parse_exact(found->second);
    if (!value)
      return Error{Errc::kInvalidEncoding, "checkpoint: the setting '" + std::string(key) + "' is damaged"};
    settings.emplace(key, *value);
  }
  return settings;
}

Status check_metadata(const Metadata& metadata, const Metadata& wanted) {
  const auto format = metadata.find(std::string(kFormatKey));
  if (format == metadata.end() || format->second != kFormatVersion) {
    return Error{
        Errc::kInvalidEncoding,
        "checkpoint: the file is safetensors, but not a checkpoint of format " + std::string(kFormatVersion)};
  }
  for (const auto& [key, ours] : wanted) {
    const auto theirs = metadata.find(key);
    const auto* usual = std::ranges::find(kUsual, key, &Usual::key);
    if (theirs == metadata.end() && usual != std::end(kUsual))
      return differs(key, std::string(usual->value), ours);
    if (theirs == metadata.end())
      return Error{Errc::kInvalidEncoding, "checkpoint: '" + key + "' is missing"};
    if (theirs->second != ours) return differs(key, theirs->second, ours);
  }
  for (const auto& [key, usual] : kUsual) {
    const auto theirs = metadata.find(std::string(key));
    if (theirs != metadata.end() && !wanted.contains(theirs->first))
      return differs(theirs->first, theirs->second, std::string(usual));
  }
  return {};
}

}  // namespace

Expected<std::vector<std::byte>> write_checkpoint(const TrainerOptions& options, int threads,
                                                  const Settings& settings, const Counters& counters,
                                                  bool best_shown, std::span<const TensorView> tensors) {
  Metadata metadata = shared_options(options, threads);
  metadata[std::string(kFormatKey)] = kFormatVersion;
  if (best_shown) metadata[std::string(kBestShownKey)] = "yes";
  for (const auto& [key, value] : settings) metadata[std::string(kSettingPrefix) + key] = exact(value);
  for_each_counter(counters, [&](const char* key, const auto& field) { metadata[key] = to_text(field); });

  Checksum checksum;
  for (const TensorView& tensor : tensors) checksum.add(tensor.data());
  metadata[std::string(kChecksumKey)] = checksum.text();
  return write_safetensors(tensors, metadata);
}

Expected<Checkpoint> read_checkpoint(std::span<const std::byte> file, const TrainerOptions& options,
                                     std::optional<int> threads) {
  auto parsed = read_safetensors(file);
  if (!parsed) return parsed.error().within("checkpoint");
  Metadata wanted = shared_options(options, threads.value_or(0));
  if (!threads) wanted.erase(kThreadsKey);
  WASMGRAD_CHECK(check_metadata(parsed->metadata, wanted));
  Checkpoint checkpoint;
  WASMGRAD_ASSIGN(checkpoint.counters, read_counters(parsed->metadata));
  WASMGRAD_ASSIGN(checkpoint.settings, read_settings(parsed->metadata));
  checkpoint.best_shown = parsed->metadata.contains(std::string(kBestShownKey));
  checkpoint.file = std::move(parsed).value();
  return checkpoint;
}

bool Checkpoint::has(std::string_view prefix) const {
  return std::ranges::any_of(file.tensors,
                             [&](const TensorView& view) { return view.name().starts_with(prefix); });
}

Status check_tensors(const Checkpoint& checkpoint, std::span<const TensorView> tensors) {
  std::map<std::string_view, const TensorView*> found;
  for (const TensorView& view : checkpoint.file.tensors) found.emplace(view.name(), &view);
  Checksum checksum;
  for (const TensorView& ours : tensors) {
    const auto view = found.find(ours.name());
    if (view == found.end()) {
      return Error{Errc::kInvalidArgument,
                   "checkpoint: tensor '" + ours.name() + "' of this run is missing there"};
    }
    if (view->second->shape() != ours.shape()) {
      return differs("the shape of '" + ours.name() + "'", format_shape(view->second->shape()),
                     format_shape(ours.shape()));
    }
    if (view->second->dtype() != ours.dtype()) {
      return differs("the type of '" + ours.name() + "'", std::string(dtype_name(view->second->dtype())),
                     std::string(dtype_name(ours.dtype())));
    }
    checksum.add(view->second->data());
  }
  if (found.size() != tensors.size()) {
    return differs("the number of tensors", std::to_string(found.size()), std::to_string(tensors.size()));
  }
  const auto stored = checkpoint.file.metadata.find(std::string(kChecksumKey));
  if (stored == checkpoint.file.metadata.end() || checksum.text() != stored->second) {
    return Error{Errc::kInvalidEncoding,
                 "checkpoint: the tensors do not match their checksum; the file is damaged"};
  }
  return {};
}

}  // namespace wasmgrad::training
