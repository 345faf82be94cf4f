// What a graph module says about itself: the JSON of its custom section, as far as a host needs it to run the
// module.
//
// Whoever made the module may have lied: types and ranges are checked here, sizes against the real memory by
// the executor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::graph {

/// The ABI of graph modules that this host knows.
inline constexpr std::uint64_t kAbi = 1;

/// An input or output: dense, row-major, little-endian.
struct TensorInfo {
  std::string name;
  std::string dtype;                 ///< NumPy's name: "float32", ...
  std::vector<std::uint64_t> shape;  ///< empty for a scalar
  std::uint64_t bytes = 0;           ///< product of the shape times the size of an element
};

/// One call of the plan.
struct PlanEntry {
  std::string name;
  std::string kernel;
};

enum class Interpolation : std::uint8_t { kNearest, kBilinear, kBicubic, kLanczos };

/// How a picture becomes an input tensor of shape [1, channels, height, width], or with the channels last.
struct Preprocess {
  /// Length of the shorter side after resizing. None: both sides become those of the crop.
  std::optional<std::uint32_t> resize;
  std::uint32_t height = 0, width = 0;  ///< of the centre crop
  Interpolation interpolation = Interpolation::kBilinear;
  bool channels_last = false;
  std::string color;  ///< "RGB", "BGR" or "L"
  double scale = 1;   ///< a value is (pixel * scale - mean) / std of its channel
  std::vector<double> mean, std;
};

struct Weights {
  bool in_file = false;  ///< beside the module rather than inside
  std::uint64_t bytes = 0;
  std::string sha256;  ///< lower-case hexadecimal
};

struct Metadata {
  std::vector<TensorInfo> inputs, outputs;
  std::vector<PlanEntry> plan;
  std::uint64_t memory_bytes = 0;
  Weights weights;
  std::optional<Preprocess> preprocess;
  std::optional<std::vector<std::string>> labels;

  /// Errors: kInvalidEncoding, naming the place and what was expected; kUnsupportedOperation for a newer ABI.
  static Expected<Metadata> from_json(std::string_view json);
};

}  // namespace wasmgrad::graph
