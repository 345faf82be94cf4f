// Forward runs of vetted models: inputs reach them as they are, and every form of output comes back.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "models.hpp"
#include "wasmgrad/training/torch/model/torch_predictor.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::test;

namespace {

constexpr std::uint64_t kPlenty = 1 << 20;

TorchPredictor predictor(const std::string& name) {
  const std::string archive = model_bytes(name);
  auto model = TorchModel::load(bytes_of(archive), name, kPlenty);
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  auto made = TorchPredictor::create(std::move(model).value());
  REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
  return std::move(made).value();
}

template <class T>
TensorView view(const std::vector<T>& values, std::vector<std::int64_t> shape, DType dtype,
                std::string name = "") {
  auto made = TensorView::create(std::move(name), dtype, std::move(shape), std::as_bytes(std::span(values)));
  REQUIRE(made);
  return std::move(made).value();
}

template <class T>
std::vector<T> values_of(const Output& output) {
  std::vector<T> values(output.bytes.size() / sizeof(T));
  std::memcpy(values.data(), output.bytes.data(), output.bytes.size());
  return values;
}

std::vector<Output> run(const Predictor& predictor, const std::vector<TensorView>& inputs) {
  auto outputs = predictor.run(inputs, kPlenty);
  REQUIRE_MESSAGE(outputs, (outputs ? "" : outputs.error().message));
  return std::move(outputs).value();
}

const std::vector<float> kX{1, -2, 3};

}  // namespace

TEST_CASE("a model runs in evaluation mode") {
  const auto outputs = run(predictor("affine"), {view(kX, {3}, DType::kF32)});
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].name == "0");
  CHECK(outputs[0].dtype == DType::kF32);
  CHECK(outputs[0].shape == std::vector<std::int64_t>{3});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{3, -3, 7});
}

TEST_CASE("every type reaches the model and comes back as it is") {
  const TorchPredictor same = predictor("same");
  const std::vector<std::uint8_t> bytes{0, 1, 0, 60, 0, 64, 200, 255, 7, 0, 0, 0, 0, 0, 0, 128};
  for (const DType dtype : {DType::kF16, DType::kF32, DType::kF64, DType::kU8, DType::kI32, DType::kI64}) {
    CAPTURE(dtype_name(dtype));
    const auto elements = static_cast<std::int64_t>(bytes.size() / dtype_size(dtype));
    const auto outputs = run(same, {view(bytes, {elements}, dtype)});
    CHECK(outputs[0].dtype == dtype);
    CHECK(values_of<std::uint8_t>(outputs[0]) == bytes);
  }
}

TEST_CASE("an empty tensor and a scalar are tensors") {
  const TorchPredictor same = predictor("same");
  const std::vector<float> none, one{4};
  CHECK(run(same, {view(none, {0, 3}, DType::kF32)})[0].shape == std::vector<std::int64_t>{0, 3});
  const auto scalar = run(same, {view(one, {}, DType::kF32)});
  CHECK(scalar[0].shape.empty());
  CHECK(values_of<float>(scalar[0]) == one);
}

TEST_CASE("inputs are matched by position or by name") {
  const TorchPredictor lookup = predictor("lookup");
  const std::vector<float> features{1, 2, 3, 4};
  const std::vector<std::int64_t> indices{3, 1};
  const auto positional = run(lookup, {view(features, {2, 2}, DType::kF32), view(indices, {2}, DType::kI64)});
  CHECK(values_of<float>(positional[0]) == std::vector<float>{33, 17});
  CHECK(values_of<std::int64_t>(positional[1]) == std::vector<std::int64_t>{9, 3});
  const auto named = run(
      lookup, {view(indices, {2}, DType::kI64, "indices"), view(features, {2, 2}, DType::kF32, "features")});
  CHECK(named[0].bytes == positional[0].bytes);
}

TEST_CASE("a dictionary's keys name its outputs, and truth values are u8") {
  const auto outputs = run(predictor("named"), {view(kX, {3}, DType::kF32)});
  REQUIRE(outputs.size() == 2);
  CHECK(outputs[0].name == "double");
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{2, -4, 6});
  CHECK(outputs[1].name == "positive");
  CHECK(outputs[1].dtype == DType::kU8);
  CHECK(values_of<std::uint8_t>(outputs[1]) == std::vector<std::uint8_t>{1, 0, 1});
}

TEST_CASE("a list is its elements") {
  const auto outputs = run(predictor("several"), {view(kX, {3}, DType::kF32)});
  REQUIRE(outputs.size() == 2);
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{2, -1, 4});
}

TEST_CASE("an input with a default may be left out") {
  const TorchPredictor masked = predictor("masked");
  REQUIRE(masked.inputs().size() == 2);
  CHECK(masked.inputs()[0].required);
  CHECK(masked.inputs()[1].name == "mask");
  CHECK_FALSE(masked.inputs()[1].required);
  CHECK(values_of<float>(run(masked, {view(kX, {3}, DType::kF32)})[0]) == std::vector<float>{3, -6, 9});
  const std::vector<float> mask{1, 0, 0};
  CHECK(values_of<float>(run(masked, {view(kX, {3}, DType::kF32), view(mask, {3}, DType::kF32)})[0]) ==
        std::vector<float>{3, 0, 0});
}

TEST_CASE("a model that writes to its input changes nothing of the caller's") {
  const std::vector<float> x{1, 2};
  CHECK(values_of<float>(run(predictor("inplace"), {view(x, {2}, DType::kF32)})[0]) ==
        std::vector<float>{2, 3});
  CHECK(x == std::vector<float>{1, 2});
}

TEST_CASE("equal inputs give equal bits, however often") {
  const TorchPredictor lookup = predictor("lookup");
  const std::vector<float> features{0.1F, 0.2F, 0.3F, 0.4F};
  const std::vector<std::int64_t> indices{2, 0};
  const std::vector<TensorView> inputs{view(features, {2, 2}, DType::kF32), view(indices, {2}, DType::kI64)};
  const auto first = run(lookup, inputs);
  for (int i = 0; i < 4; ++i) CHECK(run(lookup, inputs)[0].bytes == first[0].bytes);
}

TEST_CASE("inputs that do not fit the model's arguments are named") {
  const TorchPredictor lookup = predictor("lookup");
  const std::vector<float> features{1, 2};
  const TensorView unnamed = view(features, {1, 2}, DType::kF32);
  const TensorView first = view(features, {1, 2}, DType::kF32, "features");
  const TensorView other = view(features, {1, 2}, DType::kF32, "other");
  const auto message = [&](const std::vector<TensorView>& inputs) {
    const Error error = error_of(lookup.run(inputs, kPlenty));
    CHECK(error.code == Errc::kInvalidArgument);
    return error.message;
  };
  CHECK(message({unnamed}) == "model 'lookup': input 'indices' is missing");
  CHECK(message({unnamed, unnamed, unnamed}) == "model 'lookup': 3 inputs were given; it takes 2");
  CHECK(message({first, other}) == "model 'lookup': it has no input 'other'");
  CHECK(message({first, first}) == "model 'lookup': input 'features' was given twice");
}

TEST_CASE("a model that fails says why") {
  const std::vector<float> features{1, 2};
  const std::vector<std::int64_t> outside{9};
  const Error error = error_of(predictor("lookup").run(
      std::vector{view(features, {1, 2}, DType::kF32), view(outside, {1}, DType::kI64)}, kPlenty));
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message == "model 'lookup': index out of range in self");
}

TEST_CASE("an output beyond its budget is refused before it is made") {
  const std::vector<float> one{1};
  const Error error = error_of(predictor("huge").run(std::vector{view(one, {1}, DType::kF32)}, kPlenty));
  CHECK(error.code == Errc::kTooLarge);
  CHECK(error.message ==
        "model 'huge': output '0' has shape [1000000, 1000000] of f32; 1048576 bytes are left for outputs");
}

TEST_CASE("the budget is for all outputs together") {
  const TorchPredictor several = predictor("several");
  CHECK(several.run(std::vector{view(kX, {3}, DType::kF32)}, 24));
  CHECK(error_of(several.run(std::vector{view(kX, {3}, DType::kF32)}, 23)).code == Errc::kTooLarge);
}

TEST_CASE("tuples in a tuple are its tensors in order") {
  const auto outputs = run(predictor("nested"), {view(kX, {3}, DType::kF32)});
  REQUIRE(outputs.size() == 3);
  CHECK(outputs[2].name == "2");
}

TEST_CASE("an output that is no tensor is refused") {
  const Error error = error_of(predictor("sized").run(std::vector{view(kX, {3}, DType::kF32)}, kPlenty));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message == "model 'sized': output '1' is a Int; expected a Tensor");
}

TEST_CASE("a model that needs more than tensors is refused") {
  const std::string archive = model_bytes("counted");
  auto model = TorchModel::load(bytes_of(archive), "counted", kPlenty);
  REQUIRE(model);
  const Error error = error_of(TorchPredictor::create(std::move(model).value()));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message ==
        "model 'counted': forward needs the argument 'times' of type int; only tensors can be given");
}

TEST_CASE("a model's bytes are those of its parameters") { CHECK(predictor("affine").model_bytes() == 8); }

TEST_CASE("an input that only the loss needs may be left out, and the loss then is") {
  const TorchPredictor own = predictor("ownloss");
  REQUIRE(own.inputs().size() == 3);
  CHECK(own.inputs()[0].required);
  CHECK_FALSE(own.inputs()[1].required);
  CHECK(own.inputs()[2].required);
  const std::vector<float> one{1};
  const std::vector<TensorView> without{view(kX, {3}, DType::kF32, "x"),
                                        view(one, {1}, DType::kF32, "shift")};
  for (int times = 0; times < 2; ++times) {
    const auto outputs = run(own, without);
    REQUIRE(outputs.size() == 1);
    CHECK(outputs[0].name == "double");
    CHECK(values_of<float>(outputs[0]) == std::vector<float>{3, -3, 7});
  }
  const auto whole =
      run(own, {view(kX, {3}, DType::kF32), view(kX, {3}, DType::kF32), view(one, {1}, DType::kF32)});
  CHECK(whole.size() == 2);
  const auto missing = own.run(std::span(without).first(1), kPlenty);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message.find("input 'shift' is missing") != std::string::npos);
}
