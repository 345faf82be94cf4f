// The compatibility imports taken apart: arguments and tensor records, checked against guest memory, as typed
// values.
//
// It must not know what training is. Private to abi/.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::abi {

/// The arguments of either `train`, in its order, not yet judged.
struct TrainArguments {
  std::uint32_t tensors = 0;
  std::uint32_t tensor_count = 0;
  std::int64_t labels = 0;  ///< classes; 0 for regression
  std::int32_t device = 0;
  double learning_rate = 0;
  std::int32_t epochs = 0;
  std::int64_t batch_size = 0;
  std::int32_t optimizer = 0;
  std::int32_t loss = 0;
  bool has_model_path = false;  ///< the import with 11 arguments, whose records have names
  std::uint32_t model_path = 0;
  std::uint32_t model_path_bytes = 0;
};

/// Signatures of the two imports.
std::vector<ValueType> train_parameters(bool has_model_path);
/// `values` has the length of train_parameters(has_model_path).
TrainArguments train_arguments(std::span<const Value> values, bool has_model_path);

/// "train images", "train labels", "test images", ... by position.
std::string_view tensor_role(std::size_t index);

/// Views of all tensors, in guest memory. Errors: kInvalidArgument for a count other than 2, 4 or 6, and for
/// any record, data, dimensions or name that is out of bounds or contradicts itself; the tensor is named.
Expected<std::vector<TensorView>> read_tensors(const GuestMemory& memory, const TrainArguments& arguments);

}  // namespace wasmgrad::abi
