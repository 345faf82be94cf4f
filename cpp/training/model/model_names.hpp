// The names of a model's tensors and arguments where TorchScript's text cannot carry them: what stands for
// them there, and the record of it in an archive. Without torch.
//
// In memory and in every other format a model has its own names.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

/// The model's own names by the carried ones, those alone that differ.
struct ModelNames {
  std::map<std::string, std::string> tensors;  ///< whole dotted names
  std::map<std::string, std::string> arguments;

  [[nodiscard]] bool empty() const noexcept { return tensors.empty() && arguments.empty(); }
  bool operator==(const ModelNames&) const = default;
};

/// The record's name below an archive's extra/.
constexpr std::string_view kNamesRecord = "wasmgrad_names.json";

/// What stands for an attribute (one piece of a dotted name): the name itself where TorchScript carries it
/// and it is not in `taken`. The result is added to `taken`.
std::string carried_attribute(std::string_view name, std::set<std::string>& taken);

/// The same for an argument of `forward`, which also must not hide a word of printed code.
std::string carried_argument(std::string_view name, std::set<std::string>& taken);

/// Whether a variable of this name would hide what printed code calls, or is none.
bool hides_a_word(std::string_view variable);

std::string write_names(const ModelNames& names);
/// Errors: kInvalidEncoding when the text is no such record.
Expected<ModelNames> read_names(const std::string& text);

}  // namespace wasmgrad::training
