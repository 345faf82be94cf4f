// The pickle reader and the tensor bounds, on hand-made bytes.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "wasmgrad/training/torch/vet/pickle.hpp"
#include "wasmgrad/training/torch/vet/tensor_bounds.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training::vet;
using namespace std::string_literals;

namespace {

Expected<Pickle> read(const std::string& body, PickleLimits limits = {}) {
  return read_pickle("\x80\x02" + body, limits, [](const std::string& key) -> Expected<std::uint64_t> {
    if (key == "0") return std::uint64_t{24};
    return Error{Errc::kInvalidEncoding, "no such storage"};
  });
}

/// A float tensor of the 24-byte storage "0": its element count, then offset, sizes and strides as pickle
/// opcodes.
std::string tensor(const std::string& count, const std::string& geometry) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"s +
         "0X\x03\x00\x00\x00"s + "cpu"s + count + "tQ" + geometry + "\x89" +
         "ccollections\nOrderedDict\n)RtR.";
}

}  // namespace

TEST_CASE("plain values keep their kind and value") {
  const auto pickle = read("(K\x05J\xff\xff\xff\xffX\x02\x00\x00\x00hiN\x88t."s);
  REQUIRE(pickle.has_value());
  const Value& root = (*pickle)[pickle->root];
  REQUIRE(root.kind == ValueKind::kTuple);
  REQUIRE(root.items.size() == 5);
  CHECK((*pickle)[root.items[0]].integer == 5);
  CHECK((*pickle)[root.items[1]].integer == -1);
  CHECK((*pickle)[root.items[2]].text == "hi");
  CHECK((*pickle)[root.items[3]].kind == ValueKind::kNone);
  CHECK((*pickle)[root.items[4]].kind == ValueKind::kBool);
}

TEST_CASE("a tensor that fits its storage is accepted") {
  CHECK(read(tensor("K\x06"s, "K\x00(K\x02K\x03t(K\x03K\x01t"s)).has_value());
}

TEST_CASE("a storage longer than its record is refused") {
  const auto pickle = read(tensor("K\x07"s, "K\x00(K\x02K\x03t(K\x03K\x01t"s));
  REQUIRE_FALSE(pickle.has_value());
  CHECK(pickle.error().message.find("7 elements") != std::string::npos);
}

TEST_CASE("a tensor that leaves its storage is refused") {
  CHECK_FALSE(read(tensor("K\x06"s, "K\x01(K\x02K\x03t(K\x03K\x01t"s)).has_value());
  CHECK_FALSE(read(tensor("K\x06"s, "K\x00(K\x02K\x03t(K\x04K\x01t"s)).has_value());
  CHECK_FALSE(read(tensor("K\x06"s, "J\xff\xff\xff\xff(K\x01t(K\x01t"s)).has_value());
}

TEST_CASE("bounds arithmetic does not wrap") {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  const std::array<std::int64_t, 2> sizes = {kHuge, 4};
  const std::array<std::int64_t, 2> zero_strides = {0, 0};
  CHECK_FALSE(check_tensor_bounds(6, 0, sizes, zero_strides).ok());
  const std::array<std::int64_t, 2> small = {3, 5};
  const std::array<std::int64_t, 2> strides = {kHuge, kHuge};
  CHECK_FALSE(check_tensor_bounds(6, 0, small, strides).ok());
  const std::array<std::int64_t, 2> empty = {0, 5};
  CHECK(check_tensor_bounds(0, 0, empty, strides).ok() == false);
  const std::array<std::int64_t, 2> empty_strides = {5, 1};
  CHECK(check_tensor_bounds(0, 0, empty, empty_strides).ok());
}

TEST_CASE("globals that are not on the list are named") {
  const auto pickle = read("cos\nsystem\n(X\x02\x00\x00\x00idtR."s);
  REQUIRE_FALSE(pickle.has_value());
  CHECK(pickle.error().code == Errc::kSecurity);
  CHECK(pickle.error().message.find("os.system") != std::string::npos);
}

TEST_CASE("nesting is bounded") {
  const std::string nested = ")" + std::string(300, '\x85') + ".";
  CHECK_FALSE(read(nested).has_value());
  CHECK(read(nested, {.max_depth = 400}).has_value());
}

TEST_CASE("a container cannot be put into itself or changed after it is shared") {
  CHECK_FALSE(read("]q\x00(h\x00"s + "e.").has_value());
  CHECK_FALSE(read("}q\x00(X\x01\x00\x00\x00kh\x00u."s).has_value());
}

TEST_CASE("callables never become data") {
  CHECK_FALSE(read("ccollections\nOrderedDict\n.").has_value());
  CHECK_FALSE(read("(ccollections\nOrderedDict\nt.").has_value());
  CHECK_FALSE(read("](ccollections\nOrderedDict\ne.").has_value());
  CHECK_FALSE(read("](ctorch\nFloatStorage\n\x85"
                   "e.")
                  .has_value());
}

TEST_CASE("opcodes without their operands are refused") {
  for (const char opcode : "tebRQuqhrjcXGKMJ\x8a\x85\x86\x87\x81"s) {
    CAPTURE(static_cast<int>(static_cast<unsigned char>(opcode)));
    CHECK_FALSE(read(std::string(1, opcode)).has_value());
    CHECK_FALSE(read(std::string(1, opcode) + ".").has_value());
  }
}
