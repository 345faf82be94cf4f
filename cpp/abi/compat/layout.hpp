// The compatibility imports as bytes: names, record layouts and numbers that the guest SDK, this host and the
// tests agree on.
//
// Little-endian, 32-bit guest addresses. Dtypes, optimizers and losses beyond the first ones extend the
// earlier numbering.
#pragma once

#include <cstdint>

namespace wasmgrad::abi::compat {

/// `train` with a model path: (i32 tensors, i32 n, i64 labels, i32 device, f64 learning_rate, i32 epochs, i64
/// batch_size, i32 optimizer, i32 loss, i32 model_path, i32 model_path_length).
inline constexpr char kModule[] = "wasmedge-nn-training";
/// The older `train`: the same without the last two; the model is the host's default one.
inline constexpr char kPathlessModule[] = "naive-math";
inline constexpr char kTrain[] = "train";

/// `tensors` is the address of n addresses of records.
inline constexpr std::uint32_t kPointerBytes = 4;

/// Offsets in a tensor record. Dimensions are u32; their length is given in bytes.
inline constexpr std::uint32_t kDataPointer = 0;
inline constexpr std::uint32_t kDataBytes = 4;
inline constexpr std::uint32_t kDimsPointer = 8;
inline constexpr std::uint32_t kDimsBytes = 12;
inline constexpr std::uint32_t kDType = 16;  ///< one byte, three of padding
inline constexpr std::uint32_t kNamePointer = 20;
inline constexpr std::uint32_t kNameBytes = 24;
inline constexpr std::uint32_t kRecordBytes = 28;
/// The older record ends before the name.
inline constexpr std::uint32_t kPathlessRecordBytes = 20;

enum class DType : std::uint8_t { kF16 = 0, kF32 = 1, kU8 = 2, kI32 = 3, kI64 = 4 };

enum class Device : std::int32_t { kCpu = 0 };

}  // namespace wasmgrad::abi::compat
