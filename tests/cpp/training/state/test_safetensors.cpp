#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "../rows.hpp"
#include "wasmgrad/training/state/safetensors.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using wasmgrad::training::testing::Tensor;

namespace {

/// A file with this header, padded by nothing, and so many bytes of data.
std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<std::byte>(header.size() >> (8 * i));
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

Error error_of(const std::vector<std::byte>& file) {
  const auto result = read_safetensors(file);
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("tensors and metadata come back as they were written") {
  const Tensor a(DType::kF32, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  const Tensor b(DType::kI64, {}, std::vector<std::int64_t>{-7});
  const Tensor c(DType::kU8, {3}, std::vector<std::uint8_t>{1, 2, 255});
  const Tensor d(DType::kF64, {0, 4}, std::vector<double>{});
  const std::vector<TensorView> tensors = {a.view("a"), b.view("b"), c.view("c"), d.view("d")};
  const auto file = write_safetensors(tensors, {{"key", "value \"quoted\""}});
  REQUIRE(file);
  const auto read = read_safetensors(*file);
  REQUIRE(read);
  CHECK(read->metadata == std::map<std::string, std::string>{{"key", "value \"quoted\""}});
  REQUIRE(read->tensors.size() == 4);
  for (const TensorView& written : tensors) {
    bool found = false;
    for (const TensorView& view : read->tensors) {
      if (view.name() != written.name()) continue;
      found = true;
      CHECK(view.dtype() == written.dtype());
      CHECK(view.shape() == written.shape());
      CHECK(std::equal(view.data().begin(), view.data().end(), written.data().begin(), written.data().end()));
    }
    CHECK(found);
  }
}

TEST_CASE("every tensor is aligned to its element size within the file") {
  const Tensor bytes(DType::kU8, {3}, std::vector<std::uint8_t>{1, 2, 3});
  const Tensor halves(DType::kF16, {1}, std::vector<std::uint16_t>{1});
  const Tensor doubles(DType::kF64, {1}, std::vector<double>{1});
  const auto file =
      write_safetensors(std::vector{bytes.view("u8"), halves.view("f16"), doubles.view("f64")}, {});
  REQUIRE(file);
  const auto read = read_safetensors(*file);
  REQUIRE(read);
  for (const TensorView& view : read->tensors) {
    CHECK(static_cast<std::size_t>(view.data().data() - file->data()) % dtype_size(view.dtype()) == 0);
  }
}

TEST_CASE("a name is not written twice") {
  const Tensor tensor(DType::kU8, {1}, std::vector<std::uint8_t>{1});
  const auto result = write_safetensors(std::vector{tensor.view("x"), tensor.view("x")}, {});
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::kInvalidArgument);
}

TEST_CASE("every truncation of a file is refused") {
  const Tensor tensor(DType::kF32, {2}, std::vector<float>{1, 2});
  const auto file = write_safetensors(std::vector{tensor.view("x")}, {{"k", "v"}});
  REQUIRE(file);
  for (std::size_t length = 0; length < file->size(); ++length) {
    INFO(length);
    CHECK_FALSE(read_safetensors(std::span(*file).first(length)));
  }
}

TEST_CASE("a hostile header is refused") {
  const auto tensor = [](const std::string& fields) { return file_of("{\"x\":{" + fields + "}}", 8); };
  struct Case {
    const char* what;
    std::vector<std::byte> file;
  };
  const Case cases[] = {
      {"not JSON", file_of("{nonsense", 0)},
      {"not an object", file_of("[1]", 0)},
      {"begins with a space", file_of(" {}", 0)},
      {"entry is not an object", file_of("{\"x\":1}", 0)},
      {"no dtype", tensor(R"("shape":[2],"data_offsets":[0,8])")},
      {"no shape", tensor(R"("dtype":"F32","data_offsets":[0,8])")},
      {"no offsets", tensor(R"("dtype":"F32","shape":[2])")},
      {"negative dimension", tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])")},
      {"fractional dimension", tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])")},
      {"overflowing shape", tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])")},
      {"dimension beyond 63 bits",
       tensor(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8])")},
      {"shape and bytes differ", tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])")},
      {"offsets reversed", tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])")},
      {"offset past the end", tensor(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])")},
      {"three offsets", tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])")},
      {"data without a tensor", file_of("{}", 8)},
      {"tensors overlap", file_of(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                                  R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                                  8)},
      {"gap between tensors", file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                      R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                                      8)},
      {"repeated name", file_of(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                                R"("a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
                                8)},
      {"metadata is not strings", file_of(R"({"__metadata__":{"a":1}})", 0)},
      {"deep nesting", file_of("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}", 0)},
  };
  for (const Case& test : cases) {
    INFO(test.what);
    const Error error = error_of(test.file);
    CHECK(error.code == Errc::kInvalidEncoding);
    CHECK(error.message.find("safetensors: ") == 0);
  }
}

TEST_CASE("a header length past the end of the file is damage, whatever it is") {
  const std::vector<std::byte> file(16, std::byte{0xFF});
  CHECK(error_of(file).code == Errc::kInvalidEncoding);
}

TEST_CASE("an element type that is not known here is named") {
  const Error error = error_of(file_of(R"({"x":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message.find("F8_E4M3") != std::string::npos);
}
