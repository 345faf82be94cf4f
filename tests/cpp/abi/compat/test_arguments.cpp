// The compatibility imports as bytes: what is read, and every way in which a guest can lie about it.
#include <doctest/doctest.h>

#include "../../support.hpp"
#include "guest_image.hpp"
#include "wasmgrad/abi/compat/arguments.hpp"

using namespace wasmgrad;
using namespace wasmgrad::abi;
using namespace wasmgrad::test;

namespace {

// Two samples of [1, 2] and their labels, twice: a call that is right until a test changes it.
struct Call {
  GuestImage image;
  std::vector<std::uint32_t> records;
  TrainArguments arguments;

  explicit Call(std::uint32_t count = 4) {
    for (std::uint32_t i = 0; i < count; i += 2) {
      records.push_back(
          image.tensor(std::vector<float>{1, 2, 3, 4}, {2, 1, 2}, compat::DType::kF32, "inputs"));
      records.push_back(image.tensor(std::vector<std::int64_t>{0, 1}, {2}, compat::DType::kI64, "targets"));
    }
    arguments.tensors = image.put(records);
    arguments.tensor_count = count;
    arguments.has_model_path = true;
  }

  Expected<std::vector<TensorView>> read() { return read_tensors(image.memory(), arguments); }
  void set(std::size_t tensor, std::uint32_t field, std::uint32_t value) {
    image.set_u32(records[tensor] + field, value);
  }
};

}  // namespace

TEST_CASE("tensors are read with their names, shapes and types") {
  Call call;
  const auto tensors = call.read();
  REQUIRE(tensors);
  REQUIRE(tensors->size() == 4);
  CHECK((*tensors)[0].name() == "inputs");
  CHECK((*tensors)[0].dtype() == DType::kF32);
  CHECK((*tensors)[0].shape() == std::vector<std::int64_t>{2, 1, 2});
  CHECK((*tensors)[1].dtype() == DType::kI64);
  CHECK((*tensors)[1].data().size() == 16);
}

TEST_CASE("two, four and six tensors are accepted") {
  for (const std::uint32_t count : {2U, 4U, 6U}) {
    CAPTURE(count);
    CHECK(Call(count).read());
  }
}

TEST_CASE("every dtype of the imports has its element type") {
  struct Case {
    compat::DType number;
    std::uint32_t size;
    DType expected;
  };
  for (const Case& c : {Case{compat::DType::kF16, 2, DType::kF16},
                        {compat::DType::kF32, 4, DType::kF32},
                        {compat::DType::kU8, 1, DType::kU8},
                        {compat::DType::kI32, 4, DType::kI32},
                        {compat::DType::kI64, 8, DType::kI64}}) {
    CAPTURE(static_cast<int>(c.number));
    Call call;
    call.image.set_u8(call.records[0] + compat::kDType, static_cast<std::uint8_t>(c.number));
    call.set(0, compat::kDimsBytes, 4);
    call.set(0, compat::kDataBytes, 2 * c.size);
    const auto tensors = call.read();
    REQUIRE(tensors);
    CHECK((*tensors)[0].dtype() == c.expected);
  }
}

TEST_CASE("a record without a name ends at 20 bytes") {
  Call call(2);
  call.arguments.has_model_path = false;
  call.set(0, compat::kNamePointer, 0xffffffff);
  const auto tensors = call.read();
  REQUIRE(tensors);
  CHECK((*tensors)[0].name().empty());
  // The last 20 bytes of memory are enough.
  constexpr std::uint32_t last = GuestImage::kBytes - compat::kPathlessRecordBytes;
  const auto whole = call.image.memory().bytes(call.records[0], compat::kPathlessRecordBytes, "record");
  for (std::uint32_t i = 0; i < compat::kPathlessRecordBytes; ++i) {
    call.image.set_u8(last + i, std::to_integer<std::uint8_t>((*whole)[i]));
  }
  call.image.set_u32(call.arguments.tensors, last);
  CHECK(call.read());
}

TEST_CASE("what a guest gets wrong is told with its tensor") {
  struct Case {
    const char* what;
    void (*spoil)(Call&);
    const char* message;
  };
  const Case cases[] = {
      {"array past the end", [](Call& c) { c.arguments.tensors = GuestImage::kBytes - 8; },
       "the array of tensor addresses of 16 bytes at 0xfff8 runs past the end of guest memory (65536 bytes)"},
      {"array wraps", [](Call& c) { c.arguments.tensors = 0xfffffff8; }, "at 0xfffffff8 runs past the end"},
      {"record past the end", [](Call& c) { c.image.set_u32(c.arguments.tensors, GuestImage::kBytes - 27); },
       "tensor 0 (train images): record of 28 bytes at 0xffe5 runs past the end"},
      {"record wraps", [](Call& c) { c.image.set_u32(c.arguments.tensors + 4, 0xfffffff0); },
       "tensor 1 (train labels): record of 28 bytes at 0xfffffff0 runs past the end"},
      {"data past the end", [](Call& c) { c.set(0, compat::kDataPointer, GuestImage::kBytes - 8); },
       "tensor 0 (train images): data of 16 bytes at 0xfff8 runs past the end"},
      {"data wraps", [](Call& c) { c.set(3, compat::kDataPointer, 0xfffffff8); },
       "tensor 3 (test labels): data of 16 bytes at 0xfffffff8 runs past the end"},
      {"data of all memory", [](Call& c) { c.set(2, compat::kDataBytes, 0xffffffff); },
       "tensor 2 (test images): data of 4294967295 bytes"},
      {"dims past the end", [](Call& c) { c.set(0, compat::kDimsPointer, GuestImage::kBytes - 4); },
       "dimensions of 12 bytes at 0xfffc runs past the end"},
      {"dims of no whole number", [](Call& c) { c.set(0, compat::kDimsBytes, 7); },
       "7 bytes, which is no multiple of 4"},
      {"too many dims", [](Call& c) { c.set(0, compat::kDimsBytes, 68); }, "a tensor of 17 dimensions"},
      {"dims of all memory", [](Call& c) { c.set(0, compat::kDimsBytes, 0xfffffffc); },
       "1073741823 dimensions"},
      {"dims overflow",
       [](Call& c) {
         c.set(0, compat::kDimsPointer, c.image.put(std::vector<std::uint32_t>(3, 0xffffffff)));
       },
       "overflows"},
      {"dims wrap to the size",
       [](Call& c) {
         c.set(0, compat::kDimsPointer, c.image.put(std::vector<std::uint32_t>(4, 0x80000000)));
         c.set(0, compat::kDimsBytes, 16);
         c.set(0, compat::kDataBytes, 0);
       },
       "overflows"},
      {"dims disagree", [](Call& c) { c.set(0, compat::kDataBytes, 12); },
       "takes 16 bytes, but 12 were given"},
      {"unknown dtype", [](Call& c) { c.image.set_u8(c.records[0] + compat::kDType, 5); },
       "dtype 5 is not known"},
      {"name past the end", [](Call& c) { c.set(1, compat::kNamePointer, GuestImage::kBytes - 1); },
       "tensor 1 (train labels): name of 7 bytes"},
      {"name wraps", [](Call& c) { c.set(1, compat::kNamePointer, 0xfffffffe); },
       "name of 7 bytes at 0xfffffffe"},
      {"name too long", [](Call& c) { c.set(1, compat::kNameBytes, 2000); }, "name of 2000 bytes"},
      {"no tensors", [](Call& c) { c.arguments.tensor_count = 0; }, "0 tensors were given"},
      {"three tensors", [](Call& c) { c.arguments.tensor_count = 3; }, "3 tensors were given"},
      {"many tensors", [](Call& c) { c.arguments.tensor_count = 0xffffffff; },
       "4294967295 tensors were given"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Call call;
    c.spoil(call);
    const Error error = error_of(call.read());
    CHECK(error.code == Errc::kInvalidArgument);
    CHECK_MESSAGE(error.message.find(c.message) != std::string::npos, error.message);
  }
}

TEST_CASE("a guest without memory is refused") {
  TrainArguments arguments;
  arguments.tensor_count = 2;
  CHECK(error_of(read_tensors(GuestMemory({}), arguments)).code == Errc::kInvalidArgument);
}
