// The order of the checks: container, then pickles, then source text, and only what passed these goes to
// torch's compiler.
#include "wasmgrad/training/torch/vet/vet.hpp"

#include <algorithm>
#include <charconv>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/training/torch/vet/archive.hpp"
#include "wasmgrad/training/torch/vet/operators.hpp"
#include "wasmgrad/training/torch/vet/pickle.hpp"
#include "wasmgrad/training/torch/vet/source.hpp"
#include "wasmgrad/training/torch/vet/source_ranges.hpp"
#include "wasmgrad/training/torch/vet/walker.hpp"

namespace wasmgrad::training {
namespace vet {
namespace {

constexpr std::uint64_t kMinVersion = 3;
constexpr std::uint64_t kMaxVersion = 10;
constexpr std::string_view kSourceEnd = ".py";
constexpr std::string_view kDebugEnd = ".py.debug_pkl";

bool is_code(std::string_view name) { return name.starts_with("code/"); }
bool is_storage(std::string_view name) { return name.starts_with("data/") || name.starts_with("constants/"); }

/// Records that torch.jit.save writes. torch's reader acts on the presence of some others (older formats).
bool is_known(std::string_view name) {
  static constexpr std::string_view kNames[] = {"data.pkl",         "constants.pkl", "version",
                                                "byteorder",        ".data/version", ".data/serialization_id",
                                                "traced_inputs.pkl"};
  if (std::ranges::find(kNames, name) != std::end(kNames) || is_storage(name)) return true;
  if (name.starts_with("extra/") || name.starts_with("traced_inputs/")) return true;
  return is_code(name) && (name.ends_with(kSourceEnd) || name.ends_with(kDebugEnd));
}

/// "code/__torch__/torch/nn/modules/linear.py" -> "__torch__.torch.nn.modules.linear".
Expected<std::string> qualifier_of(std::string_view name) {
  std::string qualifier(name.substr(5, name.size() - 5 - kSourceEnd.size()));
  std::ranges::replace(qualifier, '/', '.');
  const bool plain = std::ranges::all_of(qualifier, [](char c) {
    return c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  const bool slashes_only =
      name.substr(0, name.size() - kSourceEnd.size()).find('.') == std::string_view::npos;
  if (!plain || !slashes_only || (qualifier != "__torch__" && !qualifier.starts_with("__torch__."))) {
    return Error{Errc::kSecurity, "archive: '" + std::string(name) + "' is not a path of TorchScript code"};
  }
  return qualifier;
}

class Vetting {
 public:
  Vetting(const Archive& archive, const VetLimits& limits)
      : archive_(archive), limits_(limits), pickle_limits_{.max_depth = limits.max_nesting} {}

  Status run() {
    WASMGRAD_CHECK(check_records());
    WASMGRAD_ASSIGN(const std::uint64_t version, check_version());
    WASMGRAD_ASSIGN(const Pickle constants, pickle("constants"));
    WASMGRAD_ASSIGN(const Pickle model, pickle("data"));
    WASMGRAD_CHECK(scan_code());
    const SourceText source = [this](const std::string& qualifier) -> const std::string* {
      const auto found = sources_.find(qualifier);
      return found == sources_.end() ? nullptr : &found->second;
    };
    WASMGRAD_ASSIGN(const CompiledCode code, compile_and_walk(units_, source, constants, version));
    return check_conformance(code, model);
  }

 private:
  Status check_records() const {
    const auto has_code = [](const Record& record) { return is_code(record.name); };
    if (archive_.find("data.pkl") != nullptr && archive_.find("constants.pkl") == nullptr &&
        std::ranges::none_of(archive_.records(), has_code))
      return Error{Errc::kInvalidEncoding, kPickledByTorch};
    std::uint64_t code = 0;
    std::uint64_t storage = 0;
    for (const Record& record : archive_.records()) {
      const std::string name(record.name);
      if (!is_known(name))
        return Error{Errc::kSecurity, "archive: record '" + name + "' is not one that torch.jit.save writes"};
      if (record.deflated && !is_code(name))
        return Error{Errc::kInvalidEncoding,
                     "archive: record '" + name + "' is compressed; only code may be"};
      // The archive is in memory, so sizes of what is stored cannot overflow; compressed sizes are bounded
      // one by one.
      if (is_code(name) || name.ends_with(".pkl")) code += std::min(record.size, limits_.max_code_bytes + 1);
      if (is_storage(name)) storage += record.size;
    }
    const auto too_large = [](const char* what, std::uint64_t limit) {
      return Error{Errc::kTooLarge,
                   std::string("archive: ") + what + " is larger than " + std::to_string(limit) + " bytes"};
    };
    if (code > limits_.max_code_bytes) return too_large("all code together", limits_.max_code_bytes);
    if (storage > limits_.max_storage_bytes)
      return too_large("all tensors together", limits_.max_storage_bytes);
    for (const std::string_view needed : {"data.pkl", "constants.pkl"}) {
      if (archive_.find(needed) == nullptr) {
        return Error{Errc::kInvalidEncoding, "archive: record '" + std::string(needed) +
                                                 "' is missing: this is not a TorchScript model"};
      }
    }
    if (const Record* order = archive_.find("byteorder")) {
      WASMGRAD_ASSIGN(const std::string text, Archive::read(*order, 16));
      if (text != "little") return Error{Errc::kInvalidEncoding, "archive: its byte order is not 'little'"};
    }
    return {};
  }

  Expected<std::uint64_t> check_version() const {
    std::uint64_t version = 0;
    for (const std::string_view name : {"version", ".data/version"}) {
      const Record* record = archive_.find(name);
      if (record == nullptr) continue;
      WASMGRAD_ASSIGN(const std::string text, Archive::read(*record, 8));
      std::uint64_t number = 0;
      const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
      const bool clean =
          failure == std::errc{} &&
          std::string_view(end, text.data() + text.size()).find_first_not_of('\n') == std::string_view::npos;
      if (!clean || number < kMinVersion || number > kMaxVersion || (version != 0 && number != version)) {
        return Error{Errc::kInvalidEncoding, "archive: its format version is not a number from 3 to 10"};
      }
      version = number;
    }
    if (version == 0) return Error{Errc::kInvalidEncoding, "archive: record 'version' is missing"};
    return version;
  }

  /// Reads NAME.pkl, whose storages are the records NAME/KEY.
  Expected<Pickle> pickle(const std::string& name) const {
    const StorageSize storage_size = [&](const std::string& key) -> Expected<std::uint64_t> {
      const Record* record = archive_.find(name + "/" + key);
      if (record == nullptr)
        return Error{Errc::kInvalidEncoding, "there is no record '" + name + "/" + key.substr(0, 100) + "'"};
      return record->size;
    };
    WASMGRAD_ASSIGN(const std::string bytes,
                    Archive::read(*archive_.find(name + ".pkl"), limits_.max_code_bytes));
    auto result = read_pickle(bytes, pickle_limits_, storage_size);
    if (!result) return result.error().within(name + ".pkl");
    return result;
  }

  Status scan_code() {
    for (const Record& record : archive_.records()) {
      if (!is_code(record.name)) continue;
      WASMGRAD_ASSIGN(std::string text, Archive::read(record, limits_.max_code_bytes));
      if (record.name.ends_with(kDebugEnd)) {
        if (auto ranges = check_source_ranges(text, pickle_limits_); !ranges)
          return ranges.error().within(record.name);
        continue;
      }
      WASMGRAD_ASSIGN(const std::string qualifier, qualifier_of(record.name));
      WASMGRAD_ASSIGN(const std::vector<CodeUnit> units,
                      scan_source(qualifier, text, limits_.max_nesting, operator_allowed));
      units_.insert(units_.end(), units.begin(), units.end());
      sources_.emplace(qualifier, std::move(text));
    }
    return check_references(units_, limits_.max_nesting);
  }

  const Archive& archive_;
  const VetLimits& limits_;
  PickleLimits pickle_limits_;
  std::map<std::string, std::string> sources_;
  std::vector<CodeUnit> units_;
};

}  // namespace
}  // namespace vet

namespace {

Error failed(const std::exception& error) {
  return {Errc::kRuntimeError, std::string("vetting failed: ") + error.what()};
}

}  // namespace

Status vet_archive(std::span<const std::byte> archive, const VetLimits& limits) try {
  WASMGRAD_ASSIGN(const vet::Archive parsed, vet::Archive::parse(archive));
  return vet_archive(parsed, limits);
} catch (const std::exception& error) {
  return failed(error);
}

Status vet_archive(const vet::Archive& archive, const VetLimits& limits) try {
  return vet::Vetting(archive, limits).run();
} catch (const std::exception& error) {
  return failed(error);
}

}  // namespace wasmgrad::training
