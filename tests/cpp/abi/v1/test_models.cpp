// Models as a guest loads, exports and closes them.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../../support.hpp"
#include "guest.hpp"
#include "wasmgrad/training/state/safetensors.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

std::vector<std::byte> exported(Guest& guest, std::uint32_t model, std::uint32_t encoding) {
  const std::uint32_t written = guest.reserve(4);
  REQUIRE(guest.call("model_export", model, encoding, 0, 0, written) == 0);
  const auto size = guest.read<std::uint32_t>(written);
  const std::uint32_t buffer = guest.reserve(size);
  const std::uint32_t errc = guest.call("model_export", model, encoding, buffer, size, written);
  REQUIRE_MESSAGE(errc == 0, guest.last_error());
  CHECK(guest.read<std::uint32_t>(written) == size);
  return guest.read_all<std::byte>(buffer, size);
}

}  // namespace

TEST_CASE("a model goes in and out as TorchScript") {
  Guest guest;
  const auto archive = exported(guest, guest.load_model(), 1);
  CHECK(training::TorchModel::load(archive, "exported", 1 << 20));
}

TEST_CASE("a model goes out as safetensors under its names") {
  Guest guest;
  const auto file = exported(guest, guest.load_model("convolution"), 3);
  const auto weights = training::read_safetensors(file);
  REQUIRE(weights);
  std::vector<std::string> names;
  for (const TensorView& tensor : weights->tensors) names.push_back(tensor.name());
  for (const char* name : {"conv.weight", "fc.bias", "norm.running_mean", "norm.num_batches_tracked"}) {
    CAPTURE(name);
    CHECK(std::ranges::find(names, name) != names.end());
  }
}

TEST_CASE("a model can be loaded by the name that the owner gave it") {
  abi::HostConfig config = Guest::default_config();
  config.models["digits"] = Guest::models() / "linear.pt";
  config.models["lost"] = "/no/such/place/model.pt";
  Guest guest(config);
  const std::uint32_t out = guest.reserve(4);
  CHECK(guest.call("model_load_by_name", guest.put("digits"), 6, 0, out) == 0);
  CHECK(guest.read<std::uint32_t>(out) != 0);
  CHECK(guest.call("model_load_by_name", guest.put("letters"), 7, 0, out) == errno_of(Errc::kNotFound));
  CHECK(guest.last_error() == "model_load_by_name: the owner granted no model under the name 'letters'");
}

TEST_CASE("a guest learns no path of the host, the owner does") {
  abi::HostConfig config = Guest::default_config();
  config.models["lost"] = "/no/such/place/model.pt";
  Guest guest(config);
  CHECK(guest.call("model_load_by_name", guest.put("lost"), 4, 0, guest.reserve(4)) ==
        errno_of(Errc::kNotFound));
  CHECK(guest.last_error().find("/no/such") == std::string::npos);
  CHECK(error_of(guest.host().finish()).message.find("/no/such/place/model.pt") != std::string::npos);
}

TEST_CASE("what is no model, no format or no target is refused") {
  Guest guest;
  const auto archive = Guest::model_archive("linear");
  const std::uint32_t bytes = guest.put(archive);
  const auto size = static_cast<std::uint32_t>(archive.size());
  const std::uint32_t out = guest.reserve(4);
  CHECK(guest.call("model_load", bytes, size / 2, 0, 0, out) == errno_of(Errc::kInvalidEncoding));
  CHECK(guest.call("model_load", bytes, 0, 0, 0, out) == errno_of(Errc::kInvalidEncoding));
  for (const std::uint32_t encoding : {3U, 4U, 0xffffffffU}) {
    CHECK(guest.call("model_load", bytes, size, encoding, 0, out) == errno_of(Errc::kInvalidArgument));
  }
  for (const std::uint32_t target : {1U, 0xffffffffU}) {
    CHECK(guest.call("model_load", bytes, size, 0, target, out) == errno_of(Errc::kInvalidArgument));
  }
  const std::uint32_t model = guest.load_model();
  for (const std::uint32_t encoding : {0U, 2U, 4U, 0xffffffffU}) {
    CHECK(guest.call("model_export", model, encoding, 0, 0, out) == errno_of(Errc::kInvalidArgument));
  }
  CHECK(guest.call("model_load", bytes, size, 1, 0, out) == 0);
}

TEST_CASE("a name that is too long or no text is refused") {
  Guest guest;
  const std::uint32_t out = guest.reserve(4);
  CHECK(guest.call("model_load_by_name", guest.put(std::string(1025, 'x')), 1025, 0, out) ==
        errno_of(Errc::kInvalidArgument));
  CHECK(guest.call("model_load_by_name", guest.put("\xff"), 1, 0, out) == errno_of(Errc::kInvalidArgument));
}

TEST_CASE("a model beyond the owner's limit is refused, and one that is closed makes room") {
  abi::HostConfig config = Guest::default_config();
  config.max_tensor_bytes = 100;  // the linear model has 60
  Guest guest(config);
  const std::uint32_t model = guest.load_model();
  const auto archive = Guest::model_archive("linear");
  const std::uint32_t bytes = guest.put(archive);
  const std::uint32_t out = guest.reserve(4);
  CHECK(guest.call("model_load", bytes, archive.size(), 0, 0, out) == errno_of(Errc::kTooLarge));
  CHECK(guest.call("model_close", model) == 0);
  CHECK(guest.call("model_load", bytes, archive.size(), 0, 0, out) == 0);
}

TEST_CASE("an export that waits to be read counts, until it has been") {
  Guest guest;
  const std::uint32_t model = guest.load_model();
  const std::uint32_t written = guest.reserve(4);
  REQUIRE(guest.call("model_export", model, 1, 0, 0, written) == 0);
  const std::uint64_t held = guest.host().usage().host_bytes;
  CHECK(held >= guest.read<std::uint32_t>(written));
  // Asked for again it is not made again, nor held twice.
  REQUIRE(guest.call("model_export", model, 1, 0, 0, written) == 0);
  CHECK(guest.host().usage().host_bytes == held);
}

TEST_CASE("an export beyond the owner's limit is refused") {
  abi::HostConfig config = Guest::default_config();
  config.max_tensor_bytes = 200;
  Guest guest(config);
  const std::uint32_t model = guest.load_model();
  CHECK(guest.call("model_export", model, 1, 0, 0, guest.reserve(4)) == errno_of(Errc::kTooLarge));
}

TEST_CASE("a model can be closed while a trainer uses it, and has one trainer at a time") {
  Guest guest;
  const std::uint32_t model = guest.load_model();
  const std::uint32_t trainer = guest.make_trainer(model);
  const std::uint32_t out = guest.reserve(136);
  CHECK(guest.call("trainer_create", model, guest.put("{}"), 2, out) == errno_of(Errc::kInvalidArgument));
  CHECK(guest.last_error().find("has a trainer already") != std::string::npos);
  CHECK(guest.call("trainer_close", trainer) == 0);
  const std::uint32_t again = guest.make_trainer(model);
  CHECK(guest.call("model_close", model) == 0);
  const std::uint32_t data = guest.make_dataset(8);
  CHECK(guest.call("trainer_fit", again, data, 0, 1, out) == 0);
}
