#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../../support.hpp"
#include "in_process.hpp"
#include "wasmgrad/training/collective/collective.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using testing::InProcessGroup;
using wasmgrad::test::error_of;

namespace {

constexpr Meeting kStep{Operation::kStep, 3, 40, 7};

/// What each member's `work` returned.
template <class Work>
auto results_of(int size, Work work) {
  std::vector<decltype(work(std::declval<InProcessGroup::Member&>()))> results(static_cast<std::size_t>(size),
                                                                               Error{});
  InProcessGroup::run(size, [&](InProcessGroup::Member& member) {
    results[static_cast<std::size_t>(member.rank())] = work(member);
  });
  return results;
}

}  // namespace

TEST_CASE("a meeting adds up what all bring") {
  const auto results = results_of(3, [](Collective& group) {
    Share mine;
    mine.sum.add_loss(group.rank(), 10);
    mine.weight = 0.5;
    mine.samples = 4 + group.rank();
    mine.batches = group.rank();
    return group.meet(kStep, mine);
  });
  for (const auto& agreed : results) {
    REQUIRE(agreed);
    CHECK(agreed->sum.loss == 30);
    CHECK(agreed->sum.samples == 30);
    CHECK(agreed->weight == 1.5);
    CHECK(agreed->samples == 15);
    CHECK(agreed->batches == 2);
  }
}

TEST_CASE("processes at different places of a run get an error that names both") {
  for (const auto& result : results_of(2, [](Collective& group) {
         Meeting meeting = kStep;
         if (group.rank() == 1) meeting.operation = Operation::kEvaluation;
         return group.meet(meeting, {});
       })) {
    const Error error = error_of(result);
    CHECK(error.code == Errc::kInvalidArgument);
    CHECK(error.message.find("a step after step 3") != std::string::npos);
    CHECK(error.message.find("an evaluation after step 3") != std::string::npos);
  }
}

TEST_CASE("another size, another fact and another step are differences") {
  for (int which = 0; which < 3; ++which) {
    for (const auto& result : results_of(2, [which](Collective& group) {
           Meeting meeting = kStep;
           if (group.rank() == 1) {
             meeting.step += which == 0 ? 1 : 0;
             meeting.bytes += which == 1 ? 1 : 0;
             meeting.facts += which == 2 ? 1 : 0;
           }
           return group.meet(meeting, {});
         })) {
      CHECK(error_of(result).code == Errc::kInvalidArgument);
    }
  }
}

TEST_CASE("a process that failed is named to the others, wherever it failed") {
  const auto results = results_of(2, [](Collective& group) {
    Share mine;
    mine.failed = group.rank() == 1;
    Meeting meeting = kStep;
    meeting.step += group.rank();
    return group.meet(meeting, mine);
  });
  CHECK(error_of(results[0]).code == Errc::kRuntimeError);
  CHECK(error_of(results[0]).message.find("process 1 failed") != std::string::npos);
  CHECK(results[1]);
}

TEST_CASE("one owner's wish to stop is known to all after the next meeting") {
  for (const auto& stopped : results_of(3, [](Collective& group) -> Expected<bool> {
         Share mine;
         mine.stop = group.rank() == 2;
         WASMGRAD_CHECK(group.meet(kStep, mine));
         return group.stop_agreed();
       })) {
    CHECK(stopped.value());
  }
}

TEST_CASE("a lost process ends every later exchange") {
  const auto results = results_of(2, [](InProcessGroup::Member& group) {
    if (group.rank() == 1) {
      group.leave();
      return Status();
    }
    std::vector<float> values(4);
    const Status first = group.sum(values);
    CHECK(error_of(first).code == Errc::kInterrupted);
    CHECK(group.failure().has_value());
    return Status(error_of(group.meet(kStep, {})));
  });
  CHECK(error_of(results[0]).code == Errc::kInterrupted);
  CHECK(error_of(results[0]).message.find("lost another of the 2") != std::string::npos);
}

TEST_CASE("facts differ when anything in them does") {
  CHECK(Facts().add(1.0).hash() != Facts().add(2.0).hash());
  CHECK(Facts().add("ab").add("c").hash() != Facts().add("a").add("bc").hash());
  CHECK(Facts().add(std::int64_t{1}).hash() == Facts().add(std::int64_t{1}).hash());
}
