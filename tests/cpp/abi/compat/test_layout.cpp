// The guest SDK and the host agree on every offset and number of the compatibility imports.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include "wasmgrad/abi/compat/layout.hpp"
#include "wasmgrad/training/options/options.hpp"

using namespace wasmgrad;

namespace {

// The SDK header is for 32-bit guests and cannot be compiled here: its enumerators and layout assertions are
// read as text.
const std::string& sdk_header() {
  static const std::string text = [] {
    std::ifstream file(SDK_HEADER);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return text;
}

long number_after(const std::string& pattern) {
  std::smatch match;
  REQUIRE_MESSAGE(std::regex_search(sdk_header(), match, std::regex(pattern + "\\s*(\\d+)")), pattern);
  return std::stol(match[1]);
}

long offset_of(const std::string& record, const std::string& field) {
  return number_after("offsetof\\(" + record + ", " + field + "\\) ==");
}

}  // namespace

TEST_CASE("the SDK's records have the host's offsets") {
  namespace compat = abi::compat;
  for (const std::string record : {"wasmgrad_tensor", "wasmgrad_unnamed_tensor"}) {
    CAPTURE(record);
    CHECK(offset_of(record, "data") == compat::kDataPointer);
    CHECK(offset_of(record, "data_bytes") == compat::kDataBytes);
    CHECK(offset_of(record, "dims") == compat::kDimsPointer);
    CHECK(offset_of(record, "dims_bytes") == compat::kDimsBytes);
    CHECK(offset_of(record, "dtype") == compat::kDType);
  }
  CHECK(offset_of("wasmgrad_tensor", "name") == compat::kNamePointer);
  CHECK(offset_of("wasmgrad_tensor", "name_bytes") == compat::kNameBytes);
  CHECK(number_after("sizeof\\(wasmgrad_tensor\\) ==") == compat::kRecordBytes);
  CHECK(number_after("sizeof\\(wasmgrad_unnamed_tensor\\) ==") == compat::kPathlessRecordBytes);
}

TEST_CASE("the SDK's enumerators have the host's values") {
  using abi::compat::DType;
  CHECK(number_after("WASMGRAD_F16 =") == static_cast<int>(DType::kF16));
  CHECK(number_after("WASMGRAD_F32 =") == static_cast<int>(DType::kF32));
  CHECK(number_after("WASMGRAD_U8 =") == static_cast<int>(DType::kU8));
  CHECK(number_after("WASMGRAD_I32 =") == static_cast<int>(DType::kI32));
  CHECK(number_after("WASMGRAD_I64 =") == static_cast<int>(DType::kI64));
  CHECK(number_after("WASMGRAD_CPU =") == static_cast<int>(abi::compat::Device::kCpu));
  using training::LossKind;
  using training::OptimizerKind;
  CHECK(number_after("WASMGRAD_ADAM =") == static_cast<int>(OptimizerKind::kAdam));
  CHECK(number_after("WASMGRAD_RMSPROP =") == static_cast<int>(OptimizerKind::kRMSProp));
  CHECK(number_after("WASMGRAD_SGD =") == static_cast<int>(OptimizerKind::kSGD));
  CHECK(number_after("WASMGRAD_ADAMW =") == static_cast<int>(OptimizerKind::kAdamW));
  CHECK(number_after("WASMGRAD_CROSS_ENTROPY =") == static_cast<int>(LossKind::kCrossEntropy));
  CHECK(number_after("WASMGRAD_CROSS_ENTROPY_LOGITS =") == static_cast<int>(LossKind::kCrossEntropyLogits));
  CHECK(number_after("WASMGRAD_MSE =") == static_cast<int>(LossKind::kMSE));
  CHECK(number_after("WASMGRAD_L1 =") == static_cast<int>(LossKind::kL1));
  CHECK(number_after("WASMGRAD_HUBER =") == static_cast<int>(LossKind::kHuber));
  CHECK(number_after("WASMGRAD_BCE_WITH_LOGITS =") == static_cast<int>(LossKind::kBCEWithLogits));
}

TEST_CASE("the SDK imports the host's modules") {
  for (const char* module : {abi::compat::kModule, abi::compat::kPathlessModule}) {
    CHECK(sdk_header().find("import_module(\"" + std::string(module) + "\"), import_name(\"" +
                            abi::compat::kTrain + "\")") != std::string::npos);
  }
}
