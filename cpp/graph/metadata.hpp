// What a graph module says about itself: the JSON of its custom section.
//
// Whoever made the module may have lied: types and ranges are checked here, and what it says against what it
// says elsewhere; against the module itself by who reads the file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::graph {

/// The ABI of graph modules that this host knows.
inline constexpr std::uint64_t kAbi = 1;

/// An input or output: dense, row-major, little-endian.
struct TensorInfo {
  std::string name;                  ///< not empty; no other input, or output, has it
  std::string dtype;                 ///< NumPy's name: "float32", ...
  std::vector<std::uint64_t> shape;  ///< empty for a scalar
  std::uint64_t bytes = 0;           ///< product of the shape times the size of an element
  /// Axes whose extents are multiples of the plan's batch, ascending; the shape has those of the largest one.
  std::vector<std::size_t> batched = {};
};

/// A tensor that the module keeps from one run to the next, called as the input that it was in the model.
struct StateInfo : TensorInfo {
  std::string output;  ///< of the model, whose value becomes the next one
};

/// One call of the plan.
struct PlanEntry {
  std::string name;
  std::string kernel;
  std::uint64_t flops = 0;  ///< floating-point operations
  std::uint64_t bytes = 0;  ///< that it touches
};

/// How many samples a plan takes in one run.
struct Batch {
  std::uint64_t least = 1;
  std::uint64_t most = 1;
};

/// One of a module's plans: what it computes of which inputs.
struct Plan {
  std::string entry = "run";                ///< what it is for: others of that name take other shapes
  std::optional<Batch> batch;               ///< none: it has no choice
  std::vector<TensorInfo> inputs, outputs;  ///< none is larger than the memory
  std::uint64_t flops = 0;
  std::vector<PlanEntry> calls;

  /// The batch of inputs of these shapes, in order, 0 for a plan without choice; none when they do not fit.
  [[nodiscard]] std::optional<std::uint64_t> batch_of(
      std::span<const std::vector<std::uint64_t>> shapes) const;

  /// The tensor as it is with so many samples; as it is for 0.
  [[nodiscard]] TensorInfo sized(const TensorInfo& tensor, std::uint64_t samples) const;
};

enum class Interpolation : std::uint8_t { kNearest, kBilinear, kBicubic, kLanczos };

/// As metadata calls it: "nearest", ...
std::string_view name_of(Interpolation interpolation);

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

  /// From a document of its own. Errors: kInvalidEncoding, naming the place and what was expected.
  static Expected<Preprocess> from_json(std::string_view json);
};

/// What the module was compiled from.
struct Model {
  std::string name;
  std::string format;
  std::string sha256;
  std::optional<std::uint64_t> opset;  ///< of ONNX
};

/// Linear memory in bytes: all of it, and its parts.
struct Memory {
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  std::uint64_t workspace = 0;  ///< inputs, outputs and intermediates
};

struct Weights {
  bool in_file = false;  ///< beside the module rather than inside
  std::uint64_t bytes = 0;
  std::string sha256;  ///< lower-case hexadecimal
};

/// How the module was compiled.
struct Options {
  std::string simd;  ///< "128", "relaxed", "off"; of a native library, one of its own
  std::uint64_t opt_level = 0;
  std::uint64_t threads =
      1;  ///< that can share the work of a run: from 1, if nothing is said, to kMostThreads
};

inline constexpr std::uint64_t kMostThreads = 64;

/// A parameter or buffer that a training module cannot change.
struct FixedTensor {
  std::string name;
  std::string sha256;  ///< of its bytes, lower-case hexadecimal
};

/// Of a module that trains. Its entries are `step`, `evaluate` and `predict`; the names of its states begin
/// with `model.`, `optimizer.` or `settings.`, after which they are those of a training host's checkpoint.
struct Training {
  std::string loss, optimizer;
  std::uint64_t batch = 1;    ///< rows of a step
  std::uint64_t least = 1;    ///< and how many of them must count
  bool partial = false;       ///< whether fewer than all may count
  std::uint64_t top_k = 5;    ///< of the second accuracy
  std::uint64_t classes = 0;  ///< of its targets; 0 for a loss without classes
  std::vector<FixedTensor> fixed;
};

struct Metadata {
  std::uint64_t abi = kAbi;
  std::string producer;
  Model model;
  std::vector<Plan> plans;        ///< at least one, by the number that the module knows it by
  std::vector<StateInfo> states;  ///< none is larger than the memory; no input of a plan has the name of one
  std::vector<std::pair<std::string, std::uint64_t>> operators;  ///< of the model, the most frequent first
  std::uint64_t parameters = 0;
  Memory memory;
  Weights weights;
  Options options;
  std::optional<Preprocess> preprocess;
  std::optional<std::vector<std::string>> labels;
  std::optional<Training> training;

  /// Whether there is something to choose: several plans, or one for batches of several sizes.
  [[nodiscard]] bool selects() const { return plans.size() > 1 || plans.front().batch.has_value(); }

  /// Errors: kInvalidEncoding, naming the place and what was expected; kUnsupportedOperation for a newer ABI.
  static Expected<Metadata> from_json(std::string_view json);
};

}  // namespace wasmgrad::graph
