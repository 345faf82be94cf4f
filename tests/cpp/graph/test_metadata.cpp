// What metadata of graph modules must be like.
#include <doctest/doctest.h>

#include "../support.hpp"
#include "probe.hpp"
#include "wasmgrad/graph/metadata.hpp"

using namespace wasmgrad;
using namespace wasmgrad::graph;
using namespace wasmgrad::test;

namespace {

Json image() {
  return {{"kind", "image"},  {"resize", 256},  {"crop", 224},  {"interpolation", "bicubic"},
          {"layout", "NCHW"}, {"color", "RGB"}, {"scale", 1.0}, {"mean", {0, 0, 0}},
          {"std", {1, 1, 1}}};
}

// The error after the value at `pointer` was replaced.
Error refused(const char* pointer, const Json& value) {
  Json metadata = probe_metadata();
  metadata["preprocess"] = image();
  metadata[Json::json_pointer(pointer)] = value;
  CAPTURE(pointer);
  CAPTURE(value);
  return error_of(Metadata::from_json(metadata.dump()));
}

}  // namespace

TEST_CASE("metadata is read") {
  Json json = probe_metadata();
  json["preprocess"] = image();
  json["labels"] = {"cat", "dog"};
  const auto metadata = Metadata::from_json(json.dump());
  REQUIRE_MESSAGE(metadata, (metadata ? "" : metadata.error().message));
  REQUIRE(metadata->plans[0].inputs.size() == 1);
  CHECK(metadata->plans[0].inputs[0].name == "x");
  CHECK(metadata->plans[0].inputs[0].shape == std::vector<std::uint64_t>{1, 4});
  CHECK(metadata->plans[0].inputs[0].bytes == 16);
  CHECK(metadata->plans[0].outputs[1].bytes == 4);
  CHECK(metadata->model.opset == 18);
  CHECK(metadata->operators.front() == std::pair(std::string("ReduceSum"), std::uint64_t{2}));
  CHECK(metadata->memory.workspace == 64);
  CHECK(metadata->options.simd == "relaxed");
  CHECK(metadata->plans[0].calls[1].name == "sum");
  CHECK(metadata->plans[0].calls[1].bytes == 48);
  CHECK(metadata->weights.in_file);
  CHECK(metadata->preprocess->height == 224);
  CHECK(metadata->preprocess->resize == 256);
  CHECK(metadata->labels->at(1) == "dog");
}

TEST_CASE("keys that this version does not know are ignored") {
  Json json = probe_metadata();
  json["new"] = {{"key", 1}};
  CHECK(Metadata::from_json(json.dump()));
}

TEST_CASE("an integer is one however it is written") {
  Json json = probe_metadata();
  json["memory"]["workspace"] = 64.0;
  const auto metadata = Metadata::from_json(json.dump());
  REQUIRE(metadata);
  CHECK(metadata->memory.workspace == 64);
}

TEST_CASE("preprocessing is read from a document of its own") {
  CHECK(Preprocess::from_json(image().dump())->width == 224);
  Json cropped = image();
  cropped["crop"] = 40000;
  CHECK(error_of(Preprocess::from_json(cropped.dump())).message ==
        "preprocess.crop is 40000; expected an integer from 0 to 32767");
}

TEST_CASE("a newer ABI is refused with both numbers") {
  const Error error = refused("/abi", 2);
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message == "the module has graph ABI 2; this version of wasmgrad runs ABI 1");
}

TEST_CASE("further plans are read, and take batches within their range") {
  const auto metadata = Metadata::from_json(metadata_of_plans().dump());
  REQUIRE_MESSAGE(metadata, (metadata ? "" : metadata.error().message));
  REQUIRE(metadata->plans.size() == 2);
  CHECK(metadata->selects());
  const Plan& plan = metadata->plans[1];
  const auto batch_of = [&](std::vector<std::uint64_t> shape) { return plan.batch_of(std::span(&shape, 1)); };
  CHECK(batch_of({1, 4}) == 1);
  CHECK(batch_of({3, 4}) == 3);
  CHECK_FALSE(batch_of({0, 4}));
  CHECK_FALSE(batch_of({4, 4}));
  CHECK_FALSE(batch_of({2, 5}));
  CHECK_FALSE(batch_of({2}));
  CHECK(plan.sized(plan.outputs[0], 2).shape == std::vector<std::uint64_t>{2, 4});
  CHECK(plan.sized(plan.outputs[0], 2).bytes == 32);
  CHECK_FALSE(Metadata::from_json(probe_metadata().dump())->selects());
}

TEST_CASE("further plans that contradict themselves are refused") {
  for (const auto& [pointer, value, place] : std::vector<std::tuple<const char*, Json, std::string>>{
           {"/further", 1, "metadata.further is 1"},
           {"/further/0/entry", "", "metadata.further[0].entry is \"\""},
           {"/further/0/batch/least", 0, "metadata.further[0].batch.least is 0"},
           {"/further/0/batch/least", 4, "metadata.further[0].batch.least is 4"},
           {"/further/0/batch/most", 2, "metadata.further[0].inputs[0].batched[0] is 0"},
           {"/further/0/batch", nullptr, "metadata.further[0].inputs[0].batched[0] is 0"},
           {"/further/0/inputs/0/batched", {1, 0}, "metadata.further[0].inputs[0].batched[0] is 1"},
           {"/further/0/inputs/0/batched", {2}, "metadata.further[0].inputs[0].batched[0] is 2"},
           {"/further/0/inputs/0/shape", {1 << 18, 2}, "metadata.further[0].inputs[0].shape is [262144,2]"},
           {"/further/0/plan", nullptr, "metadata.further[0].plan is null"},
           {"/inputs/0/batched", {0}, "metadata.inputs[0].batched[0] is 0"}}) {
    Json metadata = metadata_of_plans();
    metadata[Json::json_pointer(pointer)] = value;
    CAPTURE(pointer);
    CAPTURE(value);
    const Error error = error_of(Metadata::from_json(metadata.dump()));
    CHECK(error.code == Errc::kInvalidEncoding);
    CHECK(error.message.starts_with(place));
  }
}

TEST_CASE("what has the wrong type or range is named") {
  for (const auto& [pointer, value, place] : std::vector<std::tuple<const char*, Json, std::string>>{
           {"/abi", 0, "metadata.abi is 0"},
           {"/abi", "1", "metadata.abi is \"1\""},
           {"/abi", nullptr, "metadata.abi is null"},
           {"/inputs", nullptr, "metadata.inputs is null"},
           {"/inputs/0", 1, "metadata.inputs[0] is 1"},
           {"/inputs/0/name", 5, "metadata.inputs[0].name is 5"},
           {"/inputs/0/name", "", "metadata.inputs[0].name is \"\""},
           {"/outputs/1/name", "y", "metadata.outputs[1].name is \"y\""},
           {"/inputs/0/shape", {1 << 18, 2}, "metadata.inputs[0].shape is [262144,2]"},
           {"/inputs/0/dtype", "float8", "metadata.inputs[0].dtype is \"float8\""},
           {"/outputs/1/shape", 3, "metadata.outputs[1].shape is 3"},
           {"/outputs/1/shape", Json::array({-1}), "metadata.outputs[1].shape[0] is -1"},
           {"/outputs/1/shape", Json::array({1.5}), "metadata.outputs[1].shape[0] is 1.5"},
           {"/memory/bytes", "big", "metadata.memory.bytes is \"big\""},
           {"/memory/bytes", 4294967297, "metadata.memory.bytes is 4294967297"},
           {"/weights/mode", "net", "metadata.weights.mode is \"net\""},
           {"/weights/sha256", "abc", "metadata.weights.sha256 is \"abc\""},
           {"/weights/bytes", 17, "metadata.weights.bytes is 17"},
           {"/memory/workspace", (1 << 20) - 15,
            "metadata.memory is {\"bytes\":1048576,\"weights\":16,\"workspace\":1048561}"},
           {"/producer", nullptr, "metadata.producer is null"},
           {"/model/opset", -1, "metadata.model.opset is -1"},
           {"/operators/Mul", "1", "metadata.operators.Mul is \"1\""},
           {"/operators/two\nlines", -1, "metadata.operators.two?lines is -1"},
           {"/parameters", std::uint64_t{1} << 53, "metadata.parameters is 9007199254740992"},
           {"/options/simd", "256", "metadata.options.simd is \"256\""},
           {"/plan", Json::object(), "metadata.plan is {}"},
           {"/plan/1/flops", nullptr, "metadata.plan[1].flops is null"},
           {"/plan/0/kernel", nullptr, "metadata.plan[0].kernel is null"},
           {"/labels", "cat", "metadata.labels is \"cat\""},
           {"/preprocess/kind", "sound", "metadata.preprocess.kind is \"sound\""},
           {"/preprocess/crop", 0, "metadata.preprocess.crop is 0"},
           {"/preprocess/resize", 100, "metadata.preprocess.resize is 100"},
           {"/preprocess/mean", {0, 0}, "metadata.preprocess.mean is [0,0]"},
           {"/preprocess/std", {1, 1, 0}, "metadata.preprocess.std is [1,1,0]"},
           {"/preprocess/interpolation", "best", "metadata.preprocess.interpolation is \"best\""}}) {
    const Error error = refused(pointer, value);
    CHECK(error.code == Errc::kInvalidEncoding);
    CHECK_MESSAGE(error.message.starts_with(place + "; expected "), error.message);
  }
}

TEST_CASE("a shape whose size does not fit 32 bits is refused, also where 64 bits would wrap around") {
  for (const Json& shape :
       {Json{1 << 30, 1}, Json{1 << 20, 1 << 20}, Json{1U << 31, 1U << 31, 4}, Json{4294967296}}) {
    CHECK(refused("/inputs/0/shape", shape).code == Errc::kInvalidEncoding);
  }
  CHECK(refused("/inputs/0/shape", std::vector<int>(65, 1)).message.find("at most 64 dimensions") !=
        std::string::npos);
}

TEST_CASE("what is not JSON is refused") {
  for (const char* text : {"", "{", "{\"abi\": 1", "\x00\xff", "[]", "1"}) {
    CHECK(error_of(Metadata::from_json(text)).code == Errc::kInvalidEncoding);
  }
  CHECK(error_of(Metadata::from_json(std::string(100000, '['))).code == Errc::kInvalidEncoding);
}
