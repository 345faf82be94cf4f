#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <set>
#include <string>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {
namespace {

Status fails_if(bool fail) {
  if (fail) return Error{Errc::kTooLarge, "too much"};
  return {};
}

Status checked(bool fail, bool& reached) {
  WASMGRAD_CHECK(fails_if(fail));
  reached = true;
  return {};
}

Expected<int> number_or_error(bool fail) {
  if (fail) return Error{Errc::kNotFound, "no number"};
  return 20;
}

Expected<int> sum_of_two(bool first_fails, bool second_fails) {
  WASMGRAD_ASSIGN(const int first, number_or_error(first_fails));
  WASMGRAD_ASSIGN(const int second, number_or_error(second_fails));
  return first + second;
}

TEST_CASE("every kind of error has its own name") {
  const std::array kinds = {Errc::kInvalidArgument,
                            Errc::kInvalidEncoding,
                            Errc::kTimeout,
                            Errc::kRuntimeError,
                            Errc::kUnsupportedOperation,
                            Errc::kTooLarge,
                            Errc::kNotFound,
                            Errc::kSecurity,
                            Errc::kUnknown,
                            Errc::kInterrupted,
                            Errc::kPeerLost};
  std::set<std::string_view> names;
  for (const Errc kind : kinds) names.insert(errc_name(kind));
  CHECK(names.size() == kinds.size());
}

TEST_CASE("a number outside the kinds is named unknown") {
  CHECK(errc_name(static_cast<Errc>(4711)) == errc_name(Errc::kUnknown));
}

TEST_CASE("an error kind has the number that wasi-nn gives it") {
  CHECK(static_cast<std::uint32_t>(Errc::kInvalidArgument) == 1);
  CHECK(static_cast<std::uint32_t>(Errc::kSecurity) == 8);
}

TEST_CASE("within puts the place before the sentence and keeps the kind") {
  const Error error = Error{Errc::kSecurity, "leaves the sandbox"}.within("train").within("guest");
  CHECK(error.message == "guest: train: leaves the sandbox");
  CHECK(error.code == Errc::kSecurity);
}

TEST_CASE("a default status is success") { CHECK(Status().ok()); }

TEST_CASE("a status made of an error is a failure that keeps it") {
  const Status status = fails_if(true);
  CHECK_FALSE(status.ok());
  CHECK(status.error().code == Errc::kTooLarge);
  CHECK(status.error().message == "too much");
}

TEST_CASE("check returns the error and runs nothing after it") {
  bool reached = false;
  CHECK_FALSE(checked(true, reached).ok());
  CHECK_FALSE(reached);
}

TEST_CASE("check goes on after success") {
  bool reached = false;
  CHECK(checked(false, reached).ok());
  CHECK(reached);
}

TEST_CASE("assign takes the values of several results") { CHECK(sum_of_two(false, false).value() == 40); }

TEST_CASE("assign returns whichever error comes") {
  CHECK(sum_of_two(true, false).error().message == "no number");
  CHECK(sum_of_two(false, true).error().code == Errc::kNotFound);
}

TEST_CASE("an expected move-only value can be moved out") {
  Expected<std::unique_ptr<int>> result(std::make_unique<int>(7));
  const std::unique_ptr<int> value = std::move(result).value();
  CHECK(*value == 7);
}

TEST_CASE("reading the value of an error is a reported programming error") {
  const Expected<int> result = number_or_error(true);
  CHECK_THROWS_AS((void)result.value(), std::bad_variant_access);
}

}  // namespace
}  // namespace wasmgrad
