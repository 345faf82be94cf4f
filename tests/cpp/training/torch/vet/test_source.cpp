// The bounds on source text, on hand-written code.
#include <doctest/doctest.h>

#include <string>

#include "wasmgrad/training/torch/vet/operators.hpp"
#include "wasmgrad/training/torch/vet/source.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training::vet;

namespace {

Expected<std::vector<CodeUnit>> scan(const std::string& text) {
  return scan_source("__torch__.m", text, 50, operator_allowed);
}

std::string function(const std::string& statement) {
  return "def f(x: Tensor) -> Tensor:\n  y = " + statement + "\n  return x\n";
}

std::string repeat(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

Errc refusal(const std::string& statement) {
  const auto units = scan(function(statement));
  REQUIRE_FALSE(units.has_value());
  return units.error().code;
}

}  // namespace

TEST_CASE("classes and functions are listed with what they name") {
  const auto units = scan(
      "class A(Module):\n  __parameters__ = []\n  b : __torch__.n.B\n  def forward(self: __torch__.m.A) -> "
      "int:\n"
      "    return 1\ndef f(x: Tensor) -> Tensor:\n  return torch.relu(x)\n");
  REQUIRE(units.has_value());
  REQUIRE(units->size() == 2);
  CHECK(units->at(0).name == "__torch__.m.A");
  CHECK(units->at(0).is_class);
  CHECK(units->at(0).references == std::vector<std::string>{"__torch__.n.B", "__torch__.m.A"});
  CHECK(units->at(1).name == "__torch__.m.f");
  CHECK_FALSE(units->at(1).is_class);
}

TEST_CASE("expressions are bounded in depth, not in length") {
  CHECK(scan(function("[" + repeat("torch.add(1, 2), ", 5000) + "]")).has_value());
  CHECK(refusal(repeat("(", 60) + "1" + repeat(")", 60)) == Errc::kTooLarge);
  CHECK(refusal(repeat("-", 60) + "1") == Errc::kTooLarge);
  CHECK(refusal("1" + repeat(" + 1", 60)) == Errc::kTooLarge);
  CHECK(refusal("1" + repeat(" if True else 1", 60)) == Errc::kTooLarge);
  CHECK(refusal("x" + repeat(".a", 60)) == Errc::kTooLarge);
  CHECK(refusal("x" + repeat("()", 60)) == Errc::kTooLarge);
  CHECK(refusal("(1,\n" + repeat("+ 1", 60) + ")") == Errc::kTooLarge);
}

TEST_CASE("operators are named with the line where they stand") {
  const auto units = scan(function("torch.from_file(\"a\")"));
  REQUIRE_FALSE(units.has_value());
  CHECK(units.error().code == Errc::kSecurity);
  CHECK(units.error().message ==
        "code __torch__.m, line 2: operator 'aten::from_file' is not on the allow-list");
}

TEST_CASE("what stands inside a string is not code") {
  CHECK(scan(function("\"torch.from_file( ((( \\\" elif\"")).has_value());
  CHECK(scan(function("'torch.save'")).has_value());
}

TEST_CASE("unbalanced or foreign text is malformed") {
  CHECK(refusal("(1") == Errc::kInvalidEncoding);
  CHECK(refusal("1)") == Errc::kInvalidEncoding);
  CHECK(refusal("\"open") == Errc::kInvalidEncoding);
  CHECK(refusal("1 # comment") == Errc::kInvalidEncoding);
  CHECK(refusal(std::string("1 \0 2", 5)) == Errc::kInvalidEncoding);
  CHECK(refusal("\xc3\xa4") == Errc::kInvalidEncoding);
}

TEST_CASE("references must exist, end, and not run in circles") {
  const auto unit = [](const std::string& name, std::vector<std::string> references) {
    return CodeUnit{name, false, std::move(references)};
  };
  CHECK(check_references({unit("__torch__.f", {"__torch__.g", "__torch__.f"}), unit("__torch__.g", {})}, 2)
            .ok());
  CHECK(check_references({unit("__torch__.f", {"__torch__.h"})}, 2).error().code == Errc::kInvalidEncoding);
  CHECK(check_references({unit("__torch__.f", {"__torch__.g"}), unit("__torch__.g", {})}, 1).error().code ==
        Errc::kTooLarge);
  CHECK(check_references({unit("__torch__.f", {"__torch__.g"}), unit("__torch__.g", {"__torch__.f"})}, 9)
            .error()
            .code == Errc::kInvalidEncoding);
}
