// What every interface of handles rests on: handles, the budget, and the gate of calls.
#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "../support.hpp"
#include "wasmgrad/abi/budget.hpp"
#include "wasmgrad/abi/call_gate.hpp"
#include "wasmgrad/abi/handle_table.hpp"

using namespace wasmgrad;
using namespace wasmgrad::abi;
using namespace wasmgrad::test;

TEST_CASE("a handle is never zero and never used again") {
  HandleNumbers numbers(8);
  HandleTable<int> table("thing", numbers);
  const std::uint32_t first = *table.insert(std::make_shared<int>(1));
  CHECK(first != 0);
  REQUIRE(table.close(first));
  const std::uint32_t second = *table.insert(std::make_shared<int>(2));
  CHECK(second > first);
  CHECK(error_of(table.find(first)).message == std::to_string(first) + " is not the handle of an open thing");
  CHECK(error_of(table.close(first)).code == Errc::kInvalidArgument);
  CHECK(error_of(table.find(0)).code == Errc::kInvalidArgument);
  CHECK(**table.find(second) == 2);
}

TEST_CASE("a handle of another kind is not accepted") {
  HandleNumbers numbers(8);
  HandleTable<int> apples("apple", numbers);
  HandleTable<int> pears("pear", numbers);
  const std::uint32_t apple = *apples.insert(std::make_shared<int>(1));
  const std::uint32_t pear = *pears.insert(std::make_shared<int>(2));
  CHECK(apple != pear);
  CHECK_FALSE(pears.find(apple));
  CHECK_FALSE(apples.find(pear));
}

TEST_CASE("tables of one guest share the count of open handles") {
  HandleNumbers numbers(2);
  HandleTable<int> apples("apple", numbers);
  HandleTable<int> pears("pear", numbers);
  const std::uint32_t apple = *apples.insert(std::make_shared<int>(1));
  REQUIRE(pears.insert(std::make_shared<int>(2)));
  CHECK(error_of(apples.insert(std::make_shared<int>(3))).code == Errc::kTooLarge);
  CHECK(error_of(numbers.check(1)).message.find("at most 2") != std::string::npos);
  REQUIRE(apples.close(apple));
  CHECK(apples.insert(std::make_shared<int>(4)));
}

TEST_CASE("a table that is cleared has closed every handle") {
  HandleNumbers numbers(1);
  HandleTable<int> table("thing", numbers);
  const std::uint32_t handle = *table.insert(std::make_shared<int>(7));
  table.clear();
  CHECK_FALSE(table.find(handle));
  CHECK(table.insert(std::make_shared<int>(8)));
}

TEST_CASE("what is in use outlives its handle") {
  HandleNumbers numbers(1);
  HandleTable<int> table("thing", numbers);
  const std::uint32_t handle = *table.insert(std::make_shared<int>(7));
  const auto used = *table.find(handle);
  REQUIRE(table.close(handle));
  CHECK(*used == 7);
}

TEST_CASE("charges are given back when they go, and the peak stays") {
  const Budget budget(100);
  {
    const auto charge = budget.charge(60, "it");
    REQUIRE(charge);
    CHECK(budget.available() == 40);
    CHECK(error_of(budget.charge(41, "more")).message ==
          "more would take 41 bytes; 40 of the 100 that the owner allows are left");
    CHECK(budget.charge(40, "rest"));
  }
  CHECK(budget.used() == 0);
  CHECK(budget.peak() == 100);
}

TEST_CASE("a charge can be moved, grown and released") {
  const Budget budget(100);
  Budget::Charge charge;
  CHECK(charge.bytes() == 0);
  charge.add(budget.charge(10, "a").value());
  charge.add(budget.charge(20, "b").value());
  CHECK(charge.bytes() == 30);
  CHECK(budget.used() == 30);
  Budget::Charge other = std::move(charge);
  CHECK(budget.used() == 30);
  other = budget.charge(5, "c").value();
  CHECK(budget.used() == 5);
  other.release();
  other.release();
  CHECK(budget.used() == 0);
}

TEST_CASE("a charge beyond 64 bits is refused like any other") {
  const Budget budget(100);
  const auto charge = budget.charge(50, "half");
  CHECK(error_of(budget.charge(UINT64_MAX, "all")).code == Errc::kTooLarge);
}

TEST_CASE("a charge may outlive its budget") {
  std::optional<Budget> budget(100);
  const auto charge = budget->charge(50, "half");
  budget.reset();
  CHECK(charge->bytes() == 50);
}

TEST_CASE("the gate lets one call in at a time, whichever thread asks") {
  CallGate gate;
  Status inner, threaded;
  const Status outer = gate.run([&]() -> Status {
    inner = gate.run([]() -> Status { return {}; });
    std::thread([&] { threaded = gate.run([]() -> Status { return {}; }); }).join();
    return {};
  });
  CHECK(outer);
  CHECK(error_of(inner).code == Errc::kRuntimeError);
  CHECK(error_of(threaded).code == Errc::kRuntimeError);
  CHECK(gate.run([]() -> Status { return {}; }));
  CHECK(gate.calls() == 2);
  CHECK(gate.seconds() >= 0);
}

TEST_CASE("nothing thrown leaves the gate, and the next call gets in") {
  CallGate gate;
  CHECK(error_of(gate.run([]() -> Status { throw std::bad_alloc(); })).code == Errc::kTooLarge);
  CHECK(error_of(gate.run([]() -> Status { throw std::runtime_error("why"); })).message == "why");
  CHECK(error_of(gate.run([]() -> Status { throw 1; })).code == Errc::kUnknown);
  CHECK(gate.run([]() -> Status { return {}; }));
}

TEST_CASE("the sentence of a failed call is one line of UTF-8 whatever it quotes") {
  CallGate gate;
  const Status status = gate.run([]() -> Status { return Error{Errc::kInvalidArgument, "bad \xff byte\n"}; });
  CHECK(status.error().message == "bad ? byte?");
}
