// Numbers: those of the SDK's header, and errors that bindings of the definition know.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "wasmgrad/abi/nn/witx.hpp"
#include "wasmgrad/base/tensor_view.hpp"

using namespace wasmgrad;
using namespace wasmgrad::abi::nn;

namespace {

const std::string& header() {
  static const std::string text = [] {
    std::ifstream file(SDK_HEADER);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return text;
}

template <class Enum>
bool defines(const std::string& name, Enum value) {
  const std::string entry = name + " = " + std::to_string(static_cast<std::uint32_t>(value));
  const std::size_t found = header().find(entry);
  return found != std::string::npos &&
         std::string(",\n ").find(header()[found + entry.size()]) != std::string::npos;
}

}  // namespace

TEST_CASE("the SDK's header has the host's numbers") {
  CHECK(defines("WASI_NN_SUCCESS", Errno::kSuccess));
  CHECK(defines("WASI_NN_INVALID_ARGUMENT", Errno::kInvalidArgument));
  CHECK(defines("WASI_NN_INVALID_ENCODING", Errno::kInvalidEncoding));
  CHECK(defines("WASI_NN_MISSING_MEMORY", Errno::kMissingMemory));
  CHECK(defines("WASI_NN_BUSY", Errno::kBusy));
  CHECK(defines("WASI_NN_RUNTIME_ERROR", Errno::kRuntimeError));
  CHECK(defines("WASI_NN_UNSUPPORTED_OPERATION", Errno::kUnsupportedOperation));
  CHECK(defines("WASI_NN_TOO_LARGE", Errno::kTooLarge));
  CHECK(defines("WASI_NN_NOT_FOUND", Errno::kNotFound));
  CHECK(defines("WASI_NN_F16", DType::kF16));
  CHECK(defines("WASI_NN_F32", DType::kF32));
  CHECK(defines("WASI_NN_F64", DType::kF64));
  CHECK(defines("WASI_NN_U8", DType::kU8));
  CHECK(defines("WASI_NN_I32", DType::kI32));
  CHECK(defines("WASI_NN_I64", DType::kI64));
  CHECK(defines("WASI_NN_OPENVINO", Encoding::kOpenVino));
  CHECK(defines("WASI_NN_ONNX", Encoding::kOnnx));
  CHECK(defines("WASI_NN_TENSORFLOW", Encoding::kTensorFlow));
  CHECK(defines("WASI_NN_PYTORCH", Encoding::kPyTorch));
  CHECK(defines("WASI_NN_TENSORFLOWLITE", Encoding::kTensorFlowLite));
  CHECK(defines("WASI_NN_AUTODETECT", Encoding::kAutodetect));
  CHECK(defines("WASI_NN_CPU", Target::kCpu));
  CHECK(defines("WASI_NN_GPU", Target::kGpu));
  CHECK(defines("WASI_NN_TPU", Target::kTpu));
}

TEST_CASE("every kind of error has a number that guests know") {
  const auto is = [](Errc code, Errno number) { return errno_of(code) == number; };
  CHECK(is(Errc::kInvalidArgument, Errno::kInvalidArgument));
  CHECK(is(Errc::kInvalidEncoding, Errno::kInvalidEncoding));
  CHECK(is(Errc::kTimeout, Errno::kRuntimeError));
  CHECK(is(Errc::kRuntimeError, Errno::kRuntimeError));
  CHECK(is(Errc::kUnsupportedOperation, Errno::kUnsupportedOperation));
  CHECK(is(Errc::kTooLarge, Errno::kTooLarge));
  CHECK(is(Errc::kNotFound, Errno::kNotFound));
  CHECK(is(Errc::kSecurity, Errno::kUnsupportedOperation));
  CHECK(is(Errc::kUnknown, Errno::kRuntimeError));
  CHECK(is(Errc::kInterrupted, Errno::kRuntimeError));
}
