// One function of the training interface as a component imports it, over the core function that does the
// work. The rows are written by `python tools/generate`.
#pragma once

#include <cstdint>

namespace wasmgrad::abi::component {

/// What stands in `result<T, error>` for T, and so how it is stored.
enum class TrainingResult : std::uint8_t {
  kNone,
  kNumber,      ///< u32, or a handle
  kWideNumber,  ///< u64
  kPair,        ///< two u32
  kMetrics,
  kFitReport,
  kProgress,
  kBytes,    ///< list<u8>
  kFloats,   ///< list<f32>
  kHandles,  ///< a list of as many handles as the second list has items
  kTensor,
};

struct TrainingRow {
  const char* name;  ///< "[method]trainer.step"
  const char* core;  ///< "trainer_step"
  /// i, I, d: i32, i64, f64 as they are; o: an option of a handle; F: address and count of floats.
  const char* parameters;
  TrainingResult result;
};

}  // namespace wasmgrad::abi::component
