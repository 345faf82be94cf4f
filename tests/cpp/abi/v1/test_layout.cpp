// The guest SDK and the host agree on every offset and number of wasmgrad:training@0.1.
#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "guest.hpp"
#include "wasmgrad/abi/v1/layout.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"

// Compiled for this machine the header still has the enumerators and the records without pointers. Where its
// functions come from means nothing here.
#pragma GCC diagnostic ignored "-Wattributes"
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunknown-attributes"
#endif
#include SDK_TRAINING_V1_HEADER

using namespace wasmgrad;
namespace layout = wasmgrad::abi::v1::layout;

namespace {

const std::string& sdk_header() {
  static const std::string text = [] {
    std::ifstream file(SDK_TRAINING_V1_HEADER);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return text;
}

std::uint32_t asserted(const std::string& what) {
  std::smatch match;
  REQUIRE_MESSAGE(std::regex_search(sdk_header(), match, std::regex(what + " == (\\d+)")), what);
  return static_cast<std::uint32_t>(std::stoul(match[1]));
}

std::uint32_t offset_of(const std::string& record, const std::string& field) {
  return asserted("offsetof\\(" + record + ", " + field + "\\)");
}

template <class Ours, class Theirs>
void check_equal(Ours ours, Theirs theirs) {
  CHECK(static_cast<std::uint32_t>(ours) == static_cast<std::uint32_t>(theirs));
}

}  // namespace

TEST_CASE("records with pointers have the host's offsets in a guest") {
  CHECK(offset_of("wasmgrad_tensor_record", "dims") == layout::kDims);
  CHECK(offset_of("wasmgrad_tensor_record", "rank") == layout::kRank);
  CHECK(offset_of("wasmgrad_tensor_record", "type") == layout::kType);
  CHECK(offset_of("wasmgrad_tensor_record", "data") == layout::kData);
  CHECK(offset_of("wasmgrad_tensor_record", "data_bytes") == layout::kDataBytes);
  CHECK(asserted("sizeof\\(wasmgrad_tensor_record\\)") == layout::kTensorRecordBytes);
  CHECK(layout::kName == 0);
  CHECK(offset_of("wasmgrad_named_tensor", "name_bytes") == layout::kNameBytes);
  CHECK(offset_of("wasmgrad_named_tensor", "tensor") == layout::kTensor);
  CHECK(asserted("sizeof\\(wasmgrad_named_tensor\\)") == layout::kNamedTensorBytes);
}

#define CHECK_FIELD(ours, theirs, field) CHECK(offsetof(ours, field) == offsetof(theirs, field))

TEST_CASE("records of results have the host's fields") {
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, loss);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, accuracy);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, top_k_accuracy);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, learning_rate);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, seconds);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, samples);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, step);
  CHECK_FIELD(layout::Metrics, wasmgrad_metrics, epoch);
  CHECK(sizeof(layout::Metrics) == sizeof(wasmgrad_metrics));
  CHECK_FIELD(layout::FitReport, wasmgrad_fit_report, train);
  CHECK_FIELD(layout::FitReport, wasmgrad_fit_report, validation);
  CHECK_FIELD(layout::FitReport, wasmgrad_fit_report, epochs);
  CHECK_FIELD(layout::FitReport, wasmgrad_fit_report, stopped_early);
  CHECK(sizeof(layout::FitReport) == sizeof(wasmgrad_fit_report));
  CHECK_FIELD(layout::Progress, wasmgrad_progress, epoch);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, step);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, batch);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, best_epoch);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, best_loss);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, resumed);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, shows_best);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, stop_requested);
  CHECK_FIELD(layout::Progress, wasmgrad_progress, owner_epochs);
  CHECK(sizeof(layout::Progress) == sizeof(wasmgrad_progress));
  CHECK_FIELD(layout::OutputInfo, wasmgrad_output_info, type);
  CHECK_FIELD(layout::OutputInfo, wasmgrad_output_info, rank);
  CHECK_FIELD(layout::OutputInfo, wasmgrad_output_info, dims);
  CHECK(sizeof(layout::OutputInfo) == sizeof(wasmgrad_output_info));
  CHECK(sizeof(layout::OutputInfo::dims) / 4 == TensorView::kMaxRank);
}

TEST_CASE("enumerators have the host's values") {
  check_equal(Errc::kInvalidArgument, WASMGRAD_INVALID_ARGUMENT);
  check_equal(Errc::kInvalidEncoding, WASMGRAD_INVALID_ENCODING);
  check_equal(Errc::kTimeout, WASMGRAD_TIMEOUT);
  check_equal(Errc::kRuntimeError, WASMGRAD_RUNTIME_ERROR);
  check_equal(Errc::kUnsupportedOperation, WASMGRAD_UNSUPPORTED_OPERATION);
  check_equal(Errc::kTooLarge, WASMGRAD_TOO_LARGE);
  check_equal(Errc::kNotFound, WASMGRAD_NOT_FOUND);
  check_equal(Errc::kSecurity, WASMGRAD_SECURITY);
  check_equal(Errc::kUnknown, WASMGRAD_UNKNOWN);
  check_equal(Errc::kInterrupted, WASMGRAD_INTERRUPTED);
  check_equal(DType::kF16, WASMGRAD_TYPE_F16);
  check_equal(DType::kF32, WASMGRAD_TYPE_F32);
  check_equal(DType::kF64, WASMGRAD_TYPE_F64);
  check_equal(DType::kU8, WASMGRAD_TYPE_U8);
  check_equal(DType::kI32, WASMGRAD_TYPE_I32);
  check_equal(DType::kI64, WASMGRAD_TYPE_I64);
  check_equal(DType::kBF16, WASMGRAD_TYPE_BF16);
  check_equal(layout::Encoding::kAutodetect, WASMGRAD_ENCODING_AUTODETECT);
  check_equal(layout::Encoding::kTorchScript, WASMGRAD_ENCODING_TORCHSCRIPT);
  check_equal(layout::Encoding::kTorchExport, WASMGRAD_ENCODING_TORCH_EXPORT);
  check_equal(layout::Encoding::kSafetensors, WASMGRAD_ENCODING_SAFETENSORS);
  check_equal(layout::Encoding::kLora, WASMGRAD_ENCODING_LORA);
  check_equal(layout::ExecutionTarget::kCpu, WASMGRAD_TARGET_CPU);
  CHECK(std::string(layout::kModule) == WASMGRAD_TRAINING_MODULE);
}

TEST_CASE("the host serves what the SDK declares, no more and no less, with as many arguments") {
  // WASMGRAD_IMPORT("name") uint32_t wasmgrad_name(...);
  const std::regex import(R"re(WASMGRAD_IMPORT\("(\w+)"\)\s*uint32_t wasmgrad_(\w+)\(([^)]*)\))re");
  test::Guest guest;
  std::set<std::string> declared;
  for (std::sregex_iterator it(sdk_header().begin(), sdk_header().end(), import), end; it != end; ++it) {
    const std::string name = (*it)[1];
    CAPTURE(name);
    CHECK((*it)[2] == name);
    declared.insert(name);
    REQUIRE(guest.functions().contains(name));
    std::vector<ValueType> types;
    const std::string parameters = (*it)[3];
    const std::regex comma(",");
    for (std::sregex_token_iterator p(parameters.begin(), parameters.end(), comma, -1), none; p != none;
         ++p) {
      const std::string parameter = *p;
      const bool pointer = parameter.find('*') != std::string::npos;
      types.push_back(!pointer && parameter.find("uint64_t") != std::string::npos ? ValueType::kI64
                      : !pointer && parameter.find("double") != std::string::npos ? ValueType::kF64
                                                                                  : ValueType::kI32);
    }
    CHECK(guest.functions().at(name).parameters == types);
    CHECK(guest.functions().at(name).results == std::vector{ValueType::kI32});
  }
  CHECK(declared.size() == guest.functions().size());
}
