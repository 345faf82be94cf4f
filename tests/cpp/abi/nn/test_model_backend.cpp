// Vetted models behind wasi_ephemeral_nn.
#include <doctest/doctest.h>

#include "models.hpp"
#include "nn_guest.hpp"
#include "wasmgrad/abi/nn/model_backend.hpp"
#include "wasmgrad/training/torch/backend.hpp"

using namespace wasmgrad;
using namespace wasmgrad::abi;
using namespace wasmgrad::test;

namespace {

constexpr std::uint32_t kResult = NnGuest::kResult;

NnGuest torch_guest(HostConfig config = {}) {
  std::vector<std::unique_ptr<nn::Backend>> backends;
  backends.push_back(std::make_unique<nn::ModelBackend>(training::torch_backend()));
  return NnGuest(std::move(config), std::move(backends));
}

}  // namespace

TEST_CASE("a model from bytes computes, as encoding pytorch and as detected") {
  NnGuest guest = torch_guest();
  for (const std::uint32_t encoding : {3U, 5U}) {
    const std::uint32_t execution = guest.context_of(guest.load(model_bytes("affine"), encoding));
    const std::uint32_t x = guest.tensor<float>({1, 2}, DType::kF32, {1, -2});
    REQUIRE(guest.call("set_input", {execution, 0, x}) == Errno::kSuccess);
    REQUIRE(guest.call("compute", {execution}) == Errno::kSuccess);
    CHECK(guest.output<float>(execution, 0, 2) == std::vector<float>{3, -3});
  }
}

TEST_CASE("a model by name takes two inputs of different types to two outputs") {
  HostConfig config;
  config.models = {{"lookup", model_path("lookup")}};
  NnGuest guest = torch_guest(config);
  const Pair name = guest.put("lookup");
  REQUIRE(guest.call("load_by_name", {name.address, name.bytes, kResult}) == Errno::kSuccess);
  const std::uint32_t execution = guest.context_of(guest.read_u32(kResult));
  const std::uint32_t features = guest.tensor<float>({1, 2}, DType::kF32, {1, 2});
  const std::uint32_t indices = guest.tensor<std::int64_t>({1}, DType::kI64, {3});
  REQUIRE(guest.call("set_input", {execution, 1, indices}) == Errno::kSuccess);
  CHECK(guest.call("compute", {execution}) == Errno::kInvalidArgument);
  CHECK(guest.sentences.back() == "wasi_ephemeral_nn.compute: input 0 ('features') is not set");
  REQUIRE(guest.call("set_input", {execution, 0, features}) == Errno::kSuccess);
  REQUIRE(guest.call("compute", {execution}) == Errno::kSuccess);
  CHECK(guest.output<float>(execution, 0, 1) == std::vector<float>{33});
  CHECK(guest.output<std::int64_t>(execution, 1, 1) == std::vector<std::int64_t>{9});
}

TEST_CASE("a type or shape that the model cannot use fails when it computes") {
  NnGuest guest = torch_guest();
  const std::uint32_t execution = guest.context_of(guest.load(model_bytes("lookup")));
  const std::uint32_t features = guest.tensor<float>({1, 2}, DType::kF32, {1, 2});
  REQUIRE(guest.call("set_input", {execution, 0, features}) == Errno::kSuccess);
  REQUIRE(guest.call("set_input", {execution, 1, features}) == Errno::kSuccess);
  CHECK(guest.call("compute", {execution}) == Errno::kRuntimeError);
  CHECK(guest.sentences.back().starts_with("wasi_ephemeral_nn.compute: model 'from bytes': "));
}

TEST_CASE("a damaged archive, two builders and a model beyond the budget are refused") {
  HostConfig config;
  config.max_tensor_bytes = 7;
  NnGuest guest = torch_guest(config);
  const std::string archive = model_bytes("affine");
  const Pair whole = guest.put(archive), half = guest.put(archive.substr(0, archive.size() / 2));
  CHECK(guest.call("load", {guest.builders({half}), 1, 3, 0, kResult}) == Errno::kInvalidEncoding);
  CHECK(guest.call("load", {guest.builders({whole, whole}), 2, 3, 0, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.sentences.back() ==
        "wasi_ephemeral_nn.load: 2 builders were given; a PyTorch model is one file");
  CHECK(guest.call("load", {guest.builders({whole}), 1, 3, 0, kResult}) == Errno::kTooLarge);
}

TEST_CASE("a graph is charged with its weights") {
  NnGuest guest = torch_guest();
  guest.load(model_bytes("affine"));
  CHECK(guest.context.budget.used() == 8);
}
