// Every pointer and every handle of every function, wrong in every way: the call fails, nothing is written,
// and the same call with the right one then works as if nothing had been tried.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "guest.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;
namespace layout = wasmgrad::abi::v1::layout;

namespace {

struct Pointer {
  std::size_t argument;
  std::uint32_t bytes;
};

struct Handle {
  std::size_t argument;
  bool may_be_none = false;
};

// A call that is right, and which of its arguments are pointers and handles.
struct Call {
  const char* function;
  std::vector<Value> arguments;
  std::vector<Pointer> pointers;
  std::vector<Handle> handles;
};

Value word(std::uint64_t value) { return {.i32 = static_cast<std::uint32_t>(value)}; }

// One of everything, for calls that use it.
struct World {
  Guest guest;
  std::uint32_t model = guest.load_model();
  std::uint32_t other_model = guest.load_model();
  std::uint32_t dataset = guest.make_dataset(8);
  std::uint32_t growing = guest.make_dataset(4);
  std::uint32_t trainer = guest.make_trainer(model);
  std::uint32_t closed = [this] {
    const std::uint32_t handle = guest.make_dataset(0);
    REQUIRE(guest.call("dataset_close", handle) == 0);
    return handle;
  }();
  std::uint32_t inputs = guest.linear_inputs(4);
  std::uint32_t targets = guest.classes(4);
  std::uint32_t out = guest.reserve(256);
  std::uint32_t buffer = guest.reserve(65536);

  std::uint32_t parameters = guest.put(std::vector<float>(15, 0.5F));
  std::uint32_t checkpoint = guest.reserve(65536);
  std::uint32_t checkpoint_bytes = [this] {
    REQUIRE(guest.call("trainer_checkpoint", trainer, checkpoint, 65536, out) == 0);
    return guest.read<std::uint32_t>(out);
  }();

  // In an order in which each works after those before it.
  std::vector<Call> calls() {
    Guest& g = guest;
    const auto archive = Guest::model_archive("linear");
    const std::uint32_t bytes = g.put(archive);
    const auto size = static_cast<std::uint32_t>(archive.size());
    const std::string options(Guest::kOptions);
    const auto options_bytes = static_cast<std::uint32_t>(options.size());
    const std::uint32_t json = g.put(options);
    const std::uint32_t key = g.put("learning_rate");
    const std::uint32_t fractions = g.put(std::vector<double>{0.5, 0.5});
    constexpr std::uint32_t kList = layout::kNamedTensorBytes;
    constexpr std::uint32_t kMetrics = sizeof(layout::Metrics);
    const std::vector<Value> batch{word(trainer), word(inputs), word(1), word(targets), word(1), word(out)};
    const std::vector<Value> result{word(trainer), word(buffer), word(65536), word(out)};
    const std::vector<Pointer> batch_pointers{{1, kList}, {3, kList}, {5, kMetrics}};
    const std::vector<Pointer> result_pointers{{1, 65536}, {3, 4}};
    return {
        {"model_load", {word(bytes), word(size), word(0), word(0), word(out)}, {{0, size}, {4, 4}}, {}},
        {"model_load_by_name", {word(g.put("linear")), word(6), word(0), word(out)}, {{0, 6}, {3, 4}}, {}},
        {"model_export",
         {word(model), word(1), word(buffer), word(65536), word(out)},
         {{2, 65536}, {4, 4}},
         {{0}}},
        {"dataset_create", {word(out)}, {{0, 4}}, {}},
        {"dataset_append",
         {word(growing), word(inputs), word(1), word(targets), word(1)},
         {{1, kList}, {3, kList}},
         {{0}}},
        {"dataset_split",
         {word(dataset), word(fractions), word(2), {.i64 = 1}, word(out)},
         {{1, 16}, {4, 8}},
         {{0}}},
        {"dataset_size", {word(dataset), word(out)}, {{1, 8}}, {{0}}},
        {"trainer_create",
         {word(other_model), word(json), word(options_bytes), word(out)},
         {{1, options_bytes}, {3, 4}},
         {{0}}},
        {"trainer_step", batch, batch_pointers, {{0}}},
        {"trainer_backward", batch, batch_pointers, {{0}}},
        {"trainer_gradients", result, result_pointers, {{0}}},
        {"trainer_set_gradients", {word(trainer), word(parameters), word(60)}, {{1, 60}}, {{0}}},
        {"trainer_apply", {word(trainer)}, {}, {{0}}},
        {"trainer_fit",
         {word(trainer), word(dataset), word(dataset), word(1), word(out)},
         {{4, sizeof(layout::FitReport)}},
         {{0}, {1}, {2, true}}},
        {"trainer_epoch", {word(trainer), word(dataset), word(out)}, {{2, kMetrics}}, {{0}, {1}}},
        {"trainer_evaluate", {word(trainer), word(dataset), word(out)}, {{2, kMetrics}}, {{0}, {1}}},
        {"trainer_progress", {word(trainer), word(out)}, {{1, sizeof(layout::Progress)}}, {{0}}},
        {"trainer_predict", {word(trainer), word(inputs), word(1), word(out)}, {{1, kList}, {3, 4}}, {{0}}},
        {"trainer_output",
         {word(trainer), word(0), word(out), word(buffer), word(65536), word(out + 128)},
         {{2, sizeof(layout::OutputInfo)}, {3, 65536}, {5, 4}},
         {{0}}},
        {"trainer_set", {word(trainer), word(key), word(13), {.f64 = 0.5}}, {{1, 13}}, {{0}}},
        {"trainer_parameters", result, result_pointers, {{0}}},
        {"trainer_set_parameters", {word(trainer), word(parameters), word(60)}, {{1, 60}}, {{0}}},
        {"trainer_buffers", result, result_pointers, {{0}}},
        {"trainer_set_buffers", {word(trainer), word(parameters), word(0)}, {}, {{0}}},
        {"trainer_checkpoint", result, result_pointers, {{0}}},
        {"trainer_restore",
         {word(trainer), word(checkpoint), word(checkpoint_bytes)},
         {{1, checkpoint_bytes}},
         {{0}}},
        {"process_group", {word(out), word(out + 4)}, {{0, 4}, {1, 4}}, {}},
        {"run_config",
         {word(key), word(13), word(buffer), word(65536), word(out)},
         {{0, 13}, {2, 65536}, {4, 4}},
         {}},
        {"run_report", {word(key), word(13), {.f64 = 0.5}}, {{0, 13}}, {}},
        {"last_error", {word(buffer), word(65536), word(out)}, {{0, 65536}, {2, 4}}, {}},
        {"trainer_close", {word(trainer)}, {}, {{0}}},
        {"dataset_close", {word(dataset)}, {}, {{0}}},
        {"model_close", {word(model)}, {}, {{0}}},
    };
  }
};

abi::HostConfig config_with_model() {
  abi::HostConfig config = Guest::default_config();
  config.models["linear"] = Guest::models() / "linear.pt";
  config.guest_config["learning_rate"] = "0.1";
  return config;
}

}  // namespace

TEST_CASE("a wrong pointer or handle fails without a trace, whichever it is") {
  World world{.guest = Guest(config_with_model())};
  Guest& guest = world.guest;
  const auto calls = world.calls();
  CHECK(calls.size() == guest.functions().size());
  for (const Call& call : calls) {
    CAPTURE(call.function);
    const HostFunction& function = guest.functions().at(call.function);
    const auto fails = [&](std::size_t argument, std::uint32_t value) {
      CAPTURE(argument);
      CAPTURE(value);
      std::vector<Value> arguments = call.arguments;
      arguments[argument].i32 = value;
      const auto before = guest.snapshot();
      CHECK(guest.call_values(function, arguments) == errno_of(Errc::kInvalidArgument));
      CHECK(guest.snapshot() == before);
      if (std::string_view(call.function) != "last_error")
        CHECK(guest.last_error().starts_with(std::string(call.function) + ": "));
    };
    for (const Pointer& pointer : call.pointers) {
      for (const std::uint32_t address : {Guest::kBytes - pointer.bytes + 1, Guest::kBytes,
                                          0U - pointer.bytes, 0xffffffffU - pointer.bytes / 2, 0xffffffffU}) {
        fails(pointer.argument, address);
      }
    }
    for (const Handle& handle : call.handles) {
      const std::uint32_t right = call.arguments[handle.argument].i32;
      for (const std::uint32_t wrong :
           {0U, 1000000U, 0xffffffffU, world.closed, world.model, world.dataset, world.trainer}) {
        const bool same_kind =
            std::string_view(call.function).starts_with("model_") ||
                    std::string_view(call.function) == "trainer_create"
                ? wrong == world.model
            : handle.argument == 0 && std::string_view(call.function).starts_with("trainer_")
                ? wrong == world.trainer
                : wrong == world.dataset;
        if (wrong != right && !same_kind && !(wrong == 0 && handle.may_be_none))
          fails(handle.argument, wrong);
      }
    }
    const std::uint32_t errc = guest.call_values(function, call.arguments);
    CHECK_MESSAGE(errc == 0, guest.last_error());
  }
}

TEST_CASE("the list that a wrong record is in is told") {
  Guest guest;
  const std::uint32_t trainer = guest.make_trainer(guest.load_model());
  const std::uint32_t inputs = guest.linear_inputs(4);
  const std::uint32_t targets = guest.classes(4);
  guest.write(targets + layout::kTensor + layout::kType, std::uint8_t{9});
  const std::uint32_t metrics = guest.reserve(sizeof(layout::Metrics));
  CHECK(guest.call("trainer_step", trainer, inputs, 1, targets, 1, metrics) ==
        errno_of(Errc::kInvalidArgument));
  CHECK(guest.last_error().starts_with("trainer_step: targets[0]: type 9 is not known"));
}

TEST_CASE("the last error is empty before the first, and outlives what works") {
  Guest guest;
  CHECK(guest.last_error().empty());
  CHECK(guest.call("model_close", 5) == errno_of(Errc::kInvalidArgument));
  guest.make_dataset(0);
  CHECK(guest.last_error() == "model_close: 5 is not the handle of an open model");
}

TEST_CASE("a buffer too small for the last error does not replace it") {
  Guest guest;
  CHECK(guest.call("model_close", 5) == errno_of(Errc::kInvalidArgument));
  const std::uint32_t written = guest.reserve(4);
  CHECK(guest.call("last_error", guest.reserve(4), 4, written) == errno_of(Errc::kTooLarge));
  CHECK(guest.read<std::uint32_t>(written) == 49);
  CHECK(guest.last_error() == "model_close: 5 is not the handle of an open model");
}

TEST_CASE("a guest may open only so many handles") {
  abi::HostConfig config = Guest::default_config();
  config.max_handles = 3;
  Guest guest(config);
  const std::uint32_t model = guest.load_model();
  const std::uint32_t dataset = guest.make_dataset(4);
  guest.make_dataset(0);
  const std::uint32_t out = guest.reserve(16);
  const auto archive = Guest::model_archive("linear");
  const std::uint32_t bytes = guest.put(archive);
  const std::uint32_t options = guest.put("{}");
  const std::uint32_t fractions = guest.put(std::vector<double>{0.5, 0.5});
  const auto too_many = errno_of(Errc::kTooLarge);
  CHECK(guest.call("model_load", bytes, archive.size(), 0, 0, out) == too_many);
  CHECK(guest.call("dataset_create", out) == too_many);
  CHECK(guest.call("trainer_create", model, options, 2, out) == too_many);
  CHECK(guest.call("dataset_split", dataset, fractions, 2, 1, out) == too_many);
  CHECK(guest.read<std::uint32_t>(out) == 0);
  CHECK(guest.call("dataset_close", dataset) == 0);
  CHECK(guest.call("trainer_create", model, options, 2, out) == 0);
}
