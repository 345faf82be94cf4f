// Tensor records of the interfaces of handles as bytes: what is read, and every way in which a guest can lie
// about it.
#include <doctest/doctest.h>

#include "../support.hpp"
#include "v1/guest.hpp"
#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/tensor_records.hpp"

using namespace wasmgrad;
using namespace wasmgrad::abi;
using namespace wasmgrad::test;
namespace layout = wasmgrad::abi::v1::layout;

namespace {

// Two named tensors: right until a test changes them.
struct Records {
  Guest guest;
  std::uint32_t list = guest.list({{"images", DType::kF32, {2, 3}, std::vector<float>(6, 1.5F)},
                                   {"ages", DType::kU8, {2}, std::vector<std::uint8_t>{7, 8}}});
  std::uint32_t count = 2;

  Expected<std::vector<TensorView>> read() {
    return read_named_tensors(guest.memory(), list, count, "inputs");
  }
  [[nodiscard]] std::uint32_t tensor(std::uint32_t index) const {
    return list + index * layout::kNamedTensorBytes + layout::kTensor;
  }
  [[nodiscard]] std::uint32_t name(std::uint32_t index) const {
    return list + index * layout::kNamedTensorBytes + layout::kName;
  }
};

}  // namespace

TEST_CASE("named tensors are read as they lie in memory") {
  Records records;
  const auto tensors = records.read();
  REQUIRE(tensors);
  REQUIRE(tensors->size() == 2);
  CHECK((*tensors)[0].name() == "images");
  CHECK((*tensors)[0].dtype() == DType::kF32);
  CHECK((*tensors)[0].shape() == std::vector<std::int64_t>{2, 3});
  CHECK((*tensors)[0].data().size() == 24);
  CHECK((*tensors)[1].name() == "ages");
  CHECK(std::to_integer<int>((*tensors)[1].data()[1]) == 8);
}

TEST_CASE("an empty list, a scalar and a tensor without elements are tensors too") {
  Guest guest;
  CHECK(read_named_tensors(guest.memory(), 0, 0, "inputs")->empty());
  const std::uint32_t list = guest.list({{"", DType::kF64, {}, std::vector<double>{1}},
                                         {"", DType::kI64, {0, 5}, std::vector<std::int64_t>{}}});
  const auto tensors = read_named_tensors(guest.memory(), list, 2, "inputs");
  REQUIRE(tensors);
  CHECK((*tensors)[0].numel() == 1);
  CHECK((*tensors)[1].numel() == 0);
}

TEST_CASE("every element type has its number") {
  for (std::uint8_t type = 0; type <= 6; ++type) {
    CAPTURE(int{type});
    const auto dtype = static_cast<DType>(type);
    Guest guest;
    const std::uint32_t list =
        guest.list({{"", dtype, {3}, std::vector<std::uint8_t>(3 * dtype_size(dtype))}});
    const auto tensors = read_named_tensors(guest.memory(), list, 1, "inputs");
    REQUIRE(tensors);
    CHECK((*tensors)[0].dtype() == dtype);
  }
}

TEST_CASE("a record may end where memory ends and lie at any address") {
  Records records;
  const auto whole = records.guest.read_all<std::uint8_t>(records.list, 2 * layout::kNamedTensorBytes);
  for (const std::uint32_t address : {Guest::kBytes - 2 * layout::kNamedTensorBytes, 777U}) {
    for (std::uint32_t i = 0; i < whole.size(); ++i) records.guest.write(address + i, whole[i]);
    records.list = address;
    CHECK(records.read());
  }
}

TEST_CASE("what a guest gets wrong about a tensor is told with its place") {
  struct Case {
    const char* what;
    void (*spoil)(Records&);
    const char* message;
    Errc code = Errc::kInvalidArgument;
  };
  using R = Records;
  constexpr std::uint32_t kEnd = Guest::kBytes;
  const Case cases[] = {
      {"list past the end", [](R& r) { r.list = kEnd - 55; }, "inputs of 56 bytes at 0xfffc9 runs past"},
      {"list wraps", [](R& r) { r.list = 0xfffffff0; }, "inputs of 56 bytes at 0xfffffff0"},
      {"too many", [](R& r) { r.count = 1025; }, "1025 inputs were given; at most 1024", Errc::kTooLarge},
      {"all the numbers there are", [](R& r) { r.count = UINT32_MAX; }, "4294967295 inputs", Errc::kTooLarge},
      {"dims past the end", [](R& r) { r.guest.write(r.tensor(0) + layout::kDims, kEnd - 4); },
       "inputs[0]: dimensions of 8 bytes at 0xffffc"},
      {"dims wrap", [](R& r) { r.guest.write(r.tensor(0) + layout::kDims, 0xfffffffcU); },
       "inputs[0]: dimensions of 8 bytes at 0xfffffffc"},
      {"rank 17", [](R& r) { r.guest.write(r.tensor(1) + layout::kRank, 17U); },
       "inputs[1]: a tensor of 17 dimensions"},
      {"rank overflows its bytes", [](R& r) { r.guest.write(r.tensor(1) + layout::kRank, 0x40000001U); },
       "inputs[1]: a tensor of 1073741825 dimensions"},
      {"type 7", [](R& r) { r.guest.write(r.tensor(0) + layout::kType, std::uint8_t{7}); },
       "inputs[0]: type 7 is not known; known are 0 (f16), 1 (f32), 2 (f64), 3 (u8)"},
      {"type 255", [](R& r) { r.guest.write(r.tensor(0) + layout::kType, std::uint8_t{255}); }, "type 255"},
      {"data past the end", [](R& r) { r.guest.write(r.tensor(0) + layout::kData, kEnd - 23); },
       "inputs[0]: data of 24 bytes at 0xfffe9"},
      {"data wraps", [](R& r) { r.guest.write(r.tensor(0) + layout::kData, 0xfffffff0U); },
       "inputs[0]: data of 24 bytes at 0xfffffff0"},
      {"data too short", [](R& r) { r.guest.write(r.tensor(0) + layout::kDataBytes, 20U); },
       "takes 24 bytes, but 20 were given"},
      {"data too long", [](R& r) { r.guest.write(r.tensor(0) + layout::kDataBytes, 28U); },
       "takes 24 bytes, but 28 were given"},
      {"data of all addresses", [](R& r) { r.guest.write(r.tensor(0) + layout::kDataBytes, UINT32_MAX); },
       "data of 4294967295 bytes"},
      {"product wraps to the size",
       [](R& r) {
         r.guest.write(r.tensor(0) + layout::kDims, r.guest.put(std::vector<std::uint32_t>(4, 0x80000000)));
         r.guest.write(r.tensor(0) + layout::kRank, 4U);
         r.guest.write(r.tensor(0) + layout::kDataBytes, 0U);
       },
       "overflows"},
      {"name past the end", [](R& r) { r.guest.write(r.name(1), kEnd - 3); }, "inputs[1]: name of 4 bytes"},
      {"name wraps", [](R& r) { r.guest.write(r.name(1), 0xfffffffeU); }, "inputs[1]: name of 4 bytes"},
      {"name too long", [](R& r) { r.guest.write(r.list + layout::kNameBytes, 1025U); },
       "a name of 1025 bytes"},
      {"name not UTF-8", [](R& r) { r.guest.write(r.name(0), r.guest.put("imag\xc0\x80")); },
       "inputs[0]: the name is not valid UTF-8"},
      {"names twice",
       [](R& r) {
         r.guest.write(r.name(1), r.guest.put("images"));
         r.guest.write(r.name(1) + 4, 6U);
       },
       "two inputs have the name 'images'"},
      {"some without a name", [](R& r) { r.guest.write(r.name(1) + 4, 0U); },
       "1 of the 2 inputs have a name; expected all of them or none"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Records records;
    c.spoil(records);
    const Error error = error_of(records.read());
    CHECK(error.code == c.code);
    CHECK_MESSAGE(error.message.find(c.message) != std::string::npos, error.message);
  }
}

TEST_CASE("a name of 1024 bytes is not too long") {
  Guest guest;
  const std::uint32_t list =
      guest.list({{std::string(1024, 'x'), DType::kU8, {1}, std::vector<std::uint8_t>{1}}});
  CHECK(read_named_tensors(guest.memory(), list, 1, "inputs"));
}

namespace {

// A result of `size` bytes into a buffer with room for `room`.
struct Answer {
  Guest guest;
  std::uint32_t buffer = guest.put(std::string(8, '.'));
  std::uint32_t written = guest.put(std::vector<std::uint32_t>{0xabababab});

  Status give(std::uint32_t room, std::string_view result) {
    const auto place = BytesResult::at(guest.memory(), buffer, room, written);
    REQUIRE(place);
    return place->write(bytes_of(result));
  }
  std::string text() { return text_of(guest.read_all<std::byte>(buffer, 8)); }
};

}  // namespace

TEST_CASE("a result that fits is written with its size") {
  Answer answer;
  CHECK(answer.give(8, "hello"));
  CHECK(answer.text() == "hello...");
  CHECK(answer.guest.read<std::uint32_t>(answer.written) == 5);
}

TEST_CASE("no buffer asks for the size") {
  Answer answer;
  CHECK(answer.give(0, "hello"));
  CHECK(answer.text() == "........");
  CHECK(answer.guest.read<std::uint32_t>(answer.written) == 5);
}

TEST_CASE("a result that does not fit leaves the buffer alone and says its size") {
  Answer answer;
  CHECK(error_of(answer.give(4, "hello")).code == Errc::kTooLarge);
  CHECK(answer.text() == "........");
  CHECK(answer.guest.read<std::uint32_t>(answer.written) == 5);
}

TEST_CASE("places of results are checked over their whole extent") {
  Guest guest;
  constexpr std::uint32_t kEnd = Guest::kBytes;
  CHECK(ValueResult<std::uint64_t>::at(guest.memory(), kEnd - 8, "x"));
  CHECK_FALSE(ValueResult<std::uint64_t>::at(guest.memory(), kEnd - 7, "x"));
  CHECK_FALSE(ValueResult<std::uint64_t>::at(guest.memory(), 0xffffffff, "x"));
  CHECK(BytesResult::at(guest.memory(), kEnd, 0, 0));
  CHECK_FALSE(BytesResult::at(guest.memory(), kEnd - 3, 4, 0));
  CHECK_FALSE(BytesResult::at(guest.memory(), 0xfffffff0, 32, 0));
  CHECK_FALSE(BytesResult::at(guest.memory(), 0, 4, kEnd - 3));
}
