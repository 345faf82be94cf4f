// The tensors of an exported program: raw records and the geometry that the archive claims for them.
//
// Torch header. It must not know the graph.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/training/torch/pt2/json.hpp"
#include "wasmgrad/training/torch/vet/archive.hpp"

namespace wasmgrad::training::pt2 {

/// What the weight and constant configurations of the archive say, and the tensors made from it on demand.
class TensorRecords {
 public:
  /// Reads both configurations. `archive` must outlive this. Throws Refusal.
  TensorRecords(const vet::Archive& archive, std::uint64_t max_json_bytes, std::uint64_t max_bytes);

  /// A contiguous copy of the tensor `name` of the model's state, or of its constants. Names that share one
  /// record and geometry (tied weights) share the copy. Throws Refusal: no such tensor, a pickle, geometry
  /// outside the record, more than max_bytes in all.
  at::Tensor state(const std::string& name) { return read(state_, "data/weights/", name); }
  at::Tensor constant(const std::string& name) { return read(constants_, "data/constants/", name); }

  /// Whether the state's tensor `name` takes gradients.
  [[nodiscard]] bool requires_grad(const std::string& name) const;

 private:
  using Entries = std::map<std::string, Json>;

  [[nodiscard]] Entries entries(const std::string& record, std::uint64_t max_json_bytes) const;
  at::Tensor read(const Entries& entries, const std::string& folder, const std::string& name);
  at::Tensor copy(const vet::Record& record, const Json& meta, const std::string& what);

  const vet::Archive& archive_;
  std::uint64_t bytes_left_;
  Entries state_;
  Entries constants_;
  std::map<std::pair<std::string, std::string>, at::Tensor> made_;  ///< by record and geometry
};

/// The element type behind a number of the format. Throws Refusal for those that models here do not have.
at::ScalarType scalar_type(const Json& number);

}  // namespace wasmgrad::training::pt2
