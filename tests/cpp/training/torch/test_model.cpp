#include <doctest/doctest.h>

#include "fixtures.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

constexpr std::uint64_t kPlenty = 1 << 20;

Error load_error(std::span<const std::byte> archive, std::uint64_t max_bytes = kPlenty) {
  const auto model = TorchModel::load(archive, "m.pt", max_bytes);
  REQUIRE_FALSE(model);
  return model.error();
}

}  // namespace

TEST_CASE("a model counts its trainable scalars") {
  CHECK(load_model("linear").parameter_count() == 15);
  CHECK(load_model("fixed").parameter_count() == 0);
}

TEST_CASE("a saved model is read back and predicts the same") {
  TorchTrainer first = testing::trainer("convolution", small_options());
  REQUIRE(first.fit(image_dataset(12), {}, {}));
  const auto archive = first.model().save();
  REQUIRE(archive);
  auto reloaded = TorchModel::load(*archive, "again", kPlenty);
  REQUIRE(reloaded);
  auto second = TorchTrainer::create(*reloaded, small_options());
  REQUIRE(second);
  const Tensor inputs = image_inputs(5);
  CHECK(predict(first, inputs)->values == predict(*second, inputs)->values);
}

TEST_CASE("saving in the middle of a run does not disturb it") {
  TorchTrainer saved = testing::trainer("convolution", small_options());
  REQUIRE(saved.fit(image_dataset(12), {}, {}, [&](std::int64_t) {
    const auto archive = saved.model().save();
    return archive ? Status() : Status(archive.error());
  }));
  TorchTrainer plain = testing::trainer("convolution", small_options());
  REQUIRE(plain.fit(image_dataset(12), {}, {}));
  CHECK(state_of(saved) == state_of(plain));
}

TEST_CASE("what is not an archive is refused with the model's name") {
  const std::vector<std::byte> text(100, std::byte{'x'});
  const Error error = load_error(text);
  CHECK(error.code == Errc::kInvalidEncoding);
  CHECK(error.message.find("model 'm.pt': ") == 0);
  CHECK(load_error({}).code == Errc::kInvalidEncoding);
}

TEST_CASE("a truncated archive is refused") {
  const auto archive = model_archive("linear");
  for (const std::size_t length : {archive.size() / 2, archive.size() - 1}) {
    CHECK(load_error(std::span(archive).first(length)).code == Errc::kInvalidEncoding);
  }
}

TEST_CASE("a model beyond its budget is refused") {
  CHECK(load_error(model_archive("linear"), 8).code == Errc::kTooLarge);
}
