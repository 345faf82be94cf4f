#include "wasmgrad/training/torch/pt2/targets.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "wasmgrad/training/torch/pt2/json.hpp"
#include "wasmgrad/training/torch/vet/operators.hpp"

namespace wasmgrad::training::pt2 {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

/// Python's functions on symbolic sizes.
constexpr auto kArithmetic = std::to_array<Pair>({
    {"_operator.add", "aten::add"},       {"_operator.and_", "aten::__and__"},
    {"_operator.eq", "aten::eq"},         {"_operator.floordiv", "aten::floordiv"},
    {"_operator.ge", "aten::ge"},         {"_operator.gt", "aten::gt"},
    {"_operator.le", "aten::le"},         {"_operator.lt", "aten::lt"},
    {"_operator.mod", "aten::remainder"}, {"_operator.mul", "aten::mul"},
    {"_operator.ne", "aten::ne"},         {"_operator.neg", "aten::neg"},
    {"_operator.or_", "aten::__or__"},    {"_operator.pow", "aten::pow"},
    {"_operator.sub", "aten::sub"},       {"_operator.truediv", "aten::div"},
    {"torch.sym_float", "aten::Float"},   {"torch.sym_max", "prim::max"},
    {"torch.sym_min", "prim::min"},       {"torch.sym_not", "aten::__not__"},
});

/// The same questions under the names that scripted models use.
constexpr auto kRenamed = std::to_array<Pair>({
    {"aten::lift_fresh_copy", "aten::clone"},
    {"aten::sym_numel", "aten::numel"},
    {"aten::sym_size", "aten::size"},
    {"aten::sym_stride", "aten::stride"},
});

/// Checks without a result. Operators check their own arguments, whatever the graph says about them.
constexpr auto kChecks = std::to_array<std::string_view>({
    "aten::_assert_async",
    "aten::_assert_scalar",
    "aten::_assert_tensor_metadata",
    "aten::sym_constrain_range",
    "aten::sym_constrain_range_for_size",
});

template <class Table>
const Pair* find(const Table& table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &Pair::first);
  return found == table.end() ? nullptr : &*found;
}

[[noreturn]] void refuse(Errc code, const std::string& target, const char* why) {
  throw Refusal(code, in_quotes(target) + " " + why);
}

}  // namespace

std::optional<Target> target_of(const std::string& target) {
  if (const Pair* arithmetic = find(kArithmetic, target))
    return Target{std::string(arithmetic->second), "", true};

  constexpr std::string_view kOperators = "torch.ops.";
  if (!target.starts_with(kOperators))
    refuse(Errc::kSecurity, target, "is not an operator that a model may use");
  const std::string_view path = std::string_view(target).substr(kOperators.size());
  const std::size_t space = path.find('.');
  const std::size_t last = path.rfind('.');
  if (path.starts_with("higher_order."))
    refuse(Errc::kUnsupportedOperation, target, "is a higher-order operator; expected a graph without them");
  if (space == last || space == std::string_view::npos)
    refuse(Errc::kInvalidEncoding, target, "is not the name of an operator");

  Target found;
  found.name =
      std::string(path.substr(0, space)) + "::" + std::string(path.substr(space + 1, last - space - 1));
  found.overload = std::string(path.substr(last + 1));
  if (found.overload == "default") found.overload.clear();
  if (std::ranges::find(kChecks, found.name) != kChecks.end()) return std::nullopt;
  if (const Pair* renamed = find(kRenamed, found.name)) found.name = renamed->second;
  if (!vet::operator_allowed(found.name) || !vet::overload_allowed(found.overload))
    refuse(Errc::kSecurity, target, "is not an operator that a model may use");
  return found;
}

}  // namespace wasmgrad::training::pt2
