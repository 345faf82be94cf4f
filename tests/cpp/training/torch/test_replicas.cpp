#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "../../support.hpp"
#include "../collective/in_process.hpp"
#include "fixtures.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;
using wasmgrad::test::error_of;

namespace {

struct Member {
  Replication replication;
  [[nodiscard]] int rank() const { return replication.group->rank(); }
};

/// What `work(member)` returns in each of so many processes.
template <class Work>
auto in_each(int size, const Replication& how, Work work) {
  std::vector<std::optional<decltype(work(Member{}))>> results(static_cast<std::size_t>(size));
  InProcessGroup::run(size, [&](InProcessGroup::Member& group) {
    Replication replication = how;
    replication.group = &group;
    results[static_cast<std::size_t>(group.rank())] = work(Member{replication});
  });
  return results;
}

TorchTrainer member_trainer(const std::string& model, const TrainerOptions& options, const Member& member,
                            const StopToken* stop = nullptr) {
  return unwrap(TorchTrainer::create(load_model(model), options, nullptr, stop, member.replication));
}

double farthest(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max<double>(most, std::fabs(a[i] - b[i]));
  return most;
}

TrainerOptions plain_options() {
  TrainerOptions options = small_options();
  options.optimizer.kind = OptimizerKind::kSGD;
  options.optimizer.learning_rate = 0.1;
  options.optimizer.momentum = 0.9;
  return options;
}

struct Trained {
  std::vector<float> parameters;
  FitReport report;
  std::int64_t steps;
};

Trained trained(TorchTrainer trainer, const Dataset& data) {
  FitReport report = unwrap(trainer.fit(data, linear_dataset(7), {}));
  return {parameters_of(trainer), std::move(report), trainer.steps()};
}

}  // namespace

TEST_CASE("several processes train what one does, with uneven batches too") {
  const Dataset data = linear_dataset(22);  // the last of batches of 4 has 2
  for (const std::int64_t accumulate : {1, 2, 4}) {
    TrainerOptions options = plain_options();
    options.accumulate = accumulate;
    options.clip_norm = 0.5;
    const Trained alone = trained(testing::trainer("linear", options), data);
    for (const int size : {2, 3, 5}) {
      const auto all = in_each(size, {}, [&](const Member& member) {
        return trained(member_trainer("linear", options, member), data);
      });
      for (const auto& one : all) {
        CHECK(farthest(one->parameters, alone.parameters) <= 1e-6);
        CHECK(one->parameters == all[0]->parameters);
        CHECK(one->steps == alone.steps);
        const EpochReport& last = one->report.epochs.back();
        const EpochReport& expected = alone.report.epochs.back();
        CHECK(last.train.samples == 22);
        CHECK(last.train.loss == doctest::Approx(expected.train.loss).epsilon(1e-5));
        CHECK(last.train.accuracy == expected.train.accuracy);
        CHECK(last.validation->samples == 7);
        CHECK(last.validation->loss == doctest::Approx(expected.validation->loss).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("dropout and batch statistics keep all processes the same, and from run to run") {
  const auto run = [](const Member& member) {
    TorchTrainer trainer = member_trainer("convolution", small_options(), member);
    unwrap(trainer.fit(image_dataset(23), {}, {}));
    std::vector<float> buffers(trainer.buffer_bytes() / sizeof(float));
    REQUIRE(trainer.buffers(std::as_writable_bytes(std::span(buffers))));
    return std::pair(parameters_of(trainer), buffers);
  };
  const auto first = in_each(3, {}, run);
  const auto second = in_each(3, {}, run);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    CHECK(*first[rank] == *first[0]);
    CHECK(*second[rank] == *first[0]);
  }
}

TEST_CASE("each process draws other dropout masks than the others") {
  // With the same masks and the same rows in each, the mean of two gradients would be that of one alone.
  TrainerOptions options = plain_options();
  const Tensor inputs = image_inputs(4);
  const Tensor targets = class_targets(4);
  Replication shards;
  shards.shard = true;
  const auto together = in_each(2, shards, [&](const Member& member) {
    TorchTrainer trainer = member_trainer("convolution", options, member);
    unwrap(testing::step(trainer, inputs, targets));
    return parameters_of(trainer);
  });
  TorchTrainer alone = testing::trainer("convolution", options);
  unwrap(testing::step(alone, inputs, targets));
  CHECK(farthest(*together[0], parameters_of(alone)) > 1e-4);
}

TEST_CASE("the caller's batches are dealt, and its gradients averaged") {
  const TrainerOptions options = plain_options();
  const Tensor inputs = linear_inputs(7);
  const Tensor targets = class_targets(7);
  TorchTrainer alone = testing::trainer("linear", options);
  const Metrics expected = unwrap(testing::step(alone, inputs, targets));
  unwrap(testing::backward(alone, inputs, targets));
  REQUIRE(alone.apply());
  for (const auto& one : in_each(3, {}, [&](const Member& member) {
         TorchTrainer trainer = member_trainer("linear", options, member);
         const Metrics metrics = unwrap(testing::step(trainer, inputs, targets));
         CHECK(metrics.samples == 7);
         CHECK(metrics.loss == doctest::Approx(expected.loss));
         unwrap(testing::backward(trainer, inputs, targets));
         REQUIRE(trainer.apply());
         return parameters_of(trainer);
       })) {
    CHECK(farthest(*one, parameters_of(alone)) <= 1e-6);
  }
}

TEST_CASE("shards are all trained on, the last uneven batch counted by its samples") {
  TrainerOptions options = plain_options();
  options.shuffle = false;
  options.epochs = 1;
  // 6 rows here and 3 there: batches of 2 + 2, 2 + 1 and 2 + 0.
  const Tensor all = linear_inputs(9);
  const Tensor classes = class_targets(9);
  const Dataset whole = dataset(all, classes);
  TorchTrainer alone = testing::trainer("linear", options);
  const auto rows = [&](std::vector<std::int64_t> picked) {
    std::vector<float> values;
    std::vector<std::int64_t> labels;
    for (const std::int64_t row : picked) {
      const auto* x = reinterpret_cast<const float*>(all.view().data().data()) + 4 * row;
      values.insert(values.end(), x, x + 4);
      labels.push_back(row % 3);
    }
    const auto count = static_cast<std::int64_t>(picked.size());
    return std::pair(Tensor(DType::kF32, {count, 4}, values), Tensor(DType::kI64, {count}, labels));
  };
  for (const auto& batch : std::vector<std::vector<std::int64_t>>{{0, 1, 6, 7}, {2, 3, 8}, {4, 5}}) {
    const auto [x, y] = rows(batch);
    unwrap(testing::step(alone, x, y));
  }
  Replication shards;
  shards.shard = true;
  for (const auto& one : in_each(2, shards, [&](const Member& member) {
         TorchTrainer trainer = member_trainer("linear", options, member);
         const auto [x, y] = member.rank() == 0 ? rows({0, 1, 2, 3, 4, 5}) : rows({6, 7, 8});
         const FitReport report = unwrap(trainer.fit(dataset(x, y), {}, {}));
         CHECK(report.epochs[0].train.samples == 9);
         CHECK(trainer.steps() == 3);
         return parameters_of(trainer);
       })) {
    CHECK(farthest(*one, parameters_of(alone)) <= 1e-6);
  }
}

TEST_CASE("a batch must have a row for each shard") {
  Replication shards;
  shards.shard = true;
  for (const auto& message : in_each(5, shards, [&](const Member& member) {
         TorchTrainer trainer = member_trainer("linear", small_options(), member);
         return error_of(trainer.fit(linear_dataset(8), {}, {})).message;
       })) {
    CHECK(message->find("the batch size is 4 for 5 processes") != std::string::npos);
  }
}

TEST_CASE("what is not a number in one process fails the step in all of them") {
  const Tensor good = linear_inputs(2);
  const Tensor bad(DType::kF32, {2, 4}, std::vector<float>(8, NAN));
  Replication shards;
  shards.shard = true;
  const auto results = in_each(2, shards, [&](const Member& member) {
    TorchTrainer trainer = member_trainer("linear", plain_options(), member);
    const std::vector<float> before = parameters_of(trainer);
    const Error error = error_of(testing::step(trainer, member.rank() == 1 ? bad : good, class_targets(2)));
    CHECK(error.code == Errc::kRuntimeError);
    CHECK(parameters_of(trainer) == before);
    CHECK(trainer.steps() == 0);
    unwrap(testing::step(trainer, good, class_targets(2)));  // all can go on
    return std::pair(error.message, parameters_of(trainer));
  });
  CHECK(results[0]->first.find("process 1 failed") != std::string::npos);
  CHECK(results[1]->first.find("the loss is nan") != std::string::npos);
  CHECK(results[0]->second == results[1]->second);
}

TEST_CASE("one owner's wish to stop ends all at the same step") {
  for (const auto& steps : in_each(3, {}, [&](const Member& member) {
         StopToken stop;
         if (member.rank() == 2) stop.request();
         TorchTrainer trainer = member_trainer("linear", plain_options(), member, &stop);
         CHECK(unwrap(trainer.fit(linear_dataset(40), {}, {})).interrupted);
         return trainer.steps();
       })) {
    CHECK(*steps == 0);
  }
}

TEST_CASE("a lost process interrupts the others, whose state is that of the last whole step") {
  const Dataset data = linear_dataset(40);
  const TrainerOptions options = plain_options();
  const auto results = in_each(3, {}, [&](const Member& member) {
    TorchTrainer trainer = member_trainer("linear", options, member);
    const Tensor inputs = linear_inputs(6);
    const Tensor targets = class_targets(6);
    for (int i = 0; i < 2; ++i) unwrap(testing::step(trainer, inputs, targets));
    if (member.rank() == 1) {
      static_cast<InProcessGroup::Member*>(member.replication.group)->leave();
      return std::vector<float>();
    }
    CHECK(error_of(testing::step(trainer, inputs, targets)).code == Errc::kInterrupted);
    CHECK(trainer.steps() == 2);
    CHECK(trainer.checkpoint());
    return parameters_of(trainer);
  });
  TorchTrainer alone = testing::trainer("linear", options);
  for (int i = 0; i < 2; ++i) unwrap(testing::step(alone, linear_inputs(6), class_targets(6)));
  CHECK(farthest(*results[0], parameters_of(alone)) <= 1e-6);
  CHECK(*results[0] == *results[2]);
}

TEST_CASE("processes that differ are told, and none trains") {
  for (const auto& message : in_each(2, {}, [&](const Member& member) {
         TrainerOptions options = plain_options();
         options.batch_size += member.rank();
         TorchTrainer trainer = member_trainer("linear", options, member);
         return error_of(trainer.fit(linear_dataset(8), {}, {})).message;
       })) {
    CHECK(message->find("the processes differ") != std::string::npos);
  }
}

TEST_CASE("another learning rate in one process is found at the step") {
  for (const auto& message : in_each(2, {}, [&](const Member& member) {
         TorchTrainer trainer = member_trainer("linear", plain_options(), member);
         unwrap(testing::step(trainer, linear_inputs(4), class_targets(4)));
         REQUIRE(trainer.set("learning_rate", member.rank() == 0 ? 0.1 : 0.2));
         return error_of(testing::step(trainer, linear_inputs(4), class_targets(4))).message;
       })) {
    CHECK(message->find("learning rate") != std::string::npos);
  }
}

TEST_CASE("the first process's parameters are everyone's, also when one sets others") {
  const auto results = in_each(2, {}, [&](const Member& member) {
    TorchTrainer trainer = member_trainer("linear", plain_options(), member);
    std::vector<float> values = parameters_of(trainer);
    std::ranges::fill(values, 0.5F + static_cast<float>(member.rank()));
    REQUIRE(trainer.set_parameters(std::as_bytes(std::span(values))));
    unwrap(testing::step(trainer, linear_inputs(4), class_targets(4)));
    return parameters_of(trainer);
  });
  CHECK(*results[0] == *results[1]);
}

TEST_CASE("a checkpoint in the middle of an epoch goes on with any number of processes") {
  const Dataset data = linear_dataset(30);
  TrainerOptions options = plain_options();
  options.shuffle = false;
  const Trained alone = trained(testing::trainer("linear", options), data);
  // Row 13 is bad: the fourth step fails, and the three before it are kept.
  const Tensor good = linear_inputs(30);
  const auto* first = reinterpret_cast<const float*>(good.view().data().data());
  std::vector<float> values(first, first + 120);
  values[13 * 4] = NAN;
  const Dataset bad = dataset(Tensor(DType::kF32, {30, 4}, values), class_targets(30));
  const auto states = in_each(2, {}, [&](const Member& member) {
    TorchTrainer trainer = member_trainer("linear", options, member);
    CHECK(error_of(trainer.fit(bad, linear_dataset(7), {})).code == Errc::kRuntimeError);
    CHECK(trainer.steps() == 3);
    return state_of(trainer);
  });
  CHECK(*states[0] == *states[1]);
  for (const int size : {1, 3}) {
    for (const auto& one : in_each(size, {}, [&](const Member& member) {
           TorchTrainer trainer = member_trainer("linear", options, member);
           REQUIRE(trainer.restore(*states[0]));
           return trained(std::move(trainer), data);
         })) {
      CHECK(farthest(one->parameters, alone.parameters) <= 1e-6);
      CHECK(one->steps == alone.steps);
      CHECK(one->report.epochs[0].train.samples == 30);
    }
  }
}

TEST_CASE("steps of one's own are averaged every few steps and at an epoch's end") {
  Replication local;
  local.average_every = 4;
  const Dataset data = linear_dataset(26);  // 7 batches of 4
  TrainerOptions options = plain_options();
  options.optimizer.momentum = 0;
  const auto all = in_each(2, local, [&](const Member& member) {
    return trained(member_trainer("linear", options, member), data);
  });
  CHECK(all[0]->parameters == all[1]->parameters);
  for (const auto& one : all) {
    CHECK(one->steps == 21);
    for (const EpochReport& epoch : one->report.epochs) CHECK(epoch.train.samples == 26);
  }
  // One step, then an average, is what averaging the gradients does without momentum: the optimizer is
  // linear.
  local.average_every = 2;
  TrainerOptions single = options;
  single.epochs = 1;
  single.batches_per_epoch = 1;
  const Trained alone = trained(testing::trainer("linear", single), data);
  for (const auto& one : in_each(2, local, [&](const Member& member) {
         return trained(member_trainer("linear", single, member), data);
       })) {
    CHECK(farthest(one->parameters, alone.parameters) <= 1e-6);
  }
}

TEST_CASE("gradients may travel in half the bytes") {
  Replication half;
  half.wire = Wire::kBF16;
  const Dataset data = linear_dataset(22);
  const Trained alone = trained(testing::trainer("linear", plain_options()), data);
  const auto all = in_each(2, half, [&](const Member& member) {
    return trained(member_trainer("linear", plain_options(), member), data);
  });
  CHECK(all[0]->parameters == all[1]->parameters);
  CHECK(farthest(all[0]->parameters, alone.parameters) <= 2e-2);
  CHECK(farthest(all[0]->parameters, alone.parameters) > 0);
}
