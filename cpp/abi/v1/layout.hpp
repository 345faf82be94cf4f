// wasmgrad:training@0.1 as bytes: the offsets and numbers of guests/sdk/include/wasmgrad/training_v1.h, as
// the host reads and writes them.
//
// Little-endian, 32-bit guest addresses. A test compares every one with that header, where each is explained.
#pragma once

#include <cstdint>

namespace wasmgrad::abi::v1::layout {

inline constexpr char kModule[] = "wasmgrad:training@0.1";

enum class Encoding : std::uint32_t {
  kAutodetect = 0,
  kTorchScript = 1,
  kTorchExport = 2,
  kSafetensors = 3,
  kLora = 4,
};

enum class ExecutionTarget : std::uint32_t { kCpu = 0 };

// wasmgrad_tensor_record
inline constexpr std::uint32_t kDims = 0;
inline constexpr std::uint32_t kRank = 4;
inline constexpr std::uint32_t kType = 8;  ///< one byte, three of padding
inline constexpr std::uint32_t kData = 12;
inline constexpr std::uint32_t kDataBytes = 16;
inline constexpr std::uint32_t kTensorRecordBytes = 20;

// wasmgrad_named_tensor
inline constexpr std::uint32_t kName = 0;
inline constexpr std::uint32_t kNameBytes = 4;
inline constexpr std::uint32_t kTensor = 8;
inline constexpr std::uint32_t kNamedTensorBytes = 28;

/// wasmgrad_metrics
struct Metrics {
  double loss;
  double accuracy;
  double top_k_accuracy;
  double learning_rate;
  double seconds;
  std::uint64_t samples;
  std::uint64_t step;
  std::uint64_t epoch;
};
static_assert(sizeof(Metrics) == 64);

/// wasmgrad_fit_report
struct FitReport {
  Metrics train;
  Metrics validation;
  std::uint32_t epochs;
  std::uint32_t stopped_early;
};
static_assert(sizeof(FitReport) == 136);

/// wasmgrad_progress
struct Progress {
  std::uint64_t epoch;
  std::uint64_t step;
  std::uint64_t batch;
  std::uint64_t best_epoch;
  double best_loss;
  std::uint32_t resumed;
  std::uint32_t shows_best;
  std::uint32_t stop_requested;
  std::uint32_t owner_epochs;
};
static_assert(sizeof(Progress) == 56);

/// wasmgrad_output_info
struct OutputInfo {
  std::uint32_t type;
  std::uint32_t rank;
  std::uint32_t dims[16];
};
static_assert(sizeof(OutputInfo) == 72);

}  // namespace wasmgrad::abi::v1::layout
