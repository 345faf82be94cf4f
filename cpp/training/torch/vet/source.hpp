// Bounds the source files of a TorchScript archive before torch's parser, which recurses without a limit, may
// see them.
//
// It reads tokens only: it must not know types or torch. What operators really run is decided on the compiled
// graphs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training::vet {

/// A class or function at the top of a source file.
struct CodeUnit {
  std::string name;  ///< qualified: "__torch__.torch.nn.modules.linear.Linear"
  bool is_class = false;
  std::vector<std::string> references;  ///< every dotted name in it that begins with "__torch__"
};

/// Whether an operator may be used at all, whatever its overload: "aten::relu".
using OperatorFilter = std::function<bool(std::string_view)>;

/// Reads one file. `qualifier` is the dotted path that its definitions live under.
/// `max_nesting` bounds brackets, indentation and the depth of an expression.
/// Errors: kTooLarge (a bound), kSecurity (an operator, class kind or construct that is not allowed),
/// kInvalidEncoding.
Expected<std::vector<CodeUnit>> scan_source(const std::string& qualifier, std::string_view text,
                                            std::uint64_t max_nesting, const OperatorFilter& allowed);

/// Checks that every reference names a unit, and that following references from one unit to the next ends
/// within `max_depth` steps: torch compiles them recursively. Errors: kInvalidEncoding, kTooLarge.
Status check_references(const std::vector<CodeUnit>& units, std::uint64_t max_depth);

}  // namespace wasmgrad::training::vet
