// What runs the graphs of wasi_ephemeral_nn: a back end makes graphs from bytes, and a graph computes.
//
// A back end must not know handles, guest memory or contexts: those are the host's (inference_host.hpp). Its
// bytes and tensors come from a guest and point into its memory: what it keeps, it copies. Nothing throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/abi/nn/witx.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/model/output.hpp"

namespace wasmgrad::abi::nn {

struct GraphInput {
  std::string name;
  bool required = true;
};

/// What a context keeps from one computation to the next; empty before its first one.
using GraphState = std::vector<std::byte>;

/// A loaded model, which several contexts may share.
class Graph {
 public:
  virtual ~Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// By index. They do not change.
  [[nodiscard]] virtual const std::vector<GraphInput>& inputs() const = 0;

  /// What the host keeps for it: weights, a module's memory.
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;

  /// Whether `tensor` can be input `index`, as far as the graph knows before it computes. Errors:
  /// kInvalidArgument.
  [[nodiscard]] virtual Status check_input(std::size_t index, const TensorView& tensor) const = 0;

  /// Of a GraphState, at most. A graph that has none keeps nothing from one computation to the next.
  [[nodiscard]] virtual std::uint64_t state_bytes() const { return 0; }

  /// Lets the computations that follow go on from `state`. It may be out of date until they go on from
  /// another one, because the graph works on a copy. Errors: kRuntimeError.
  virtual Status go_on_from(const std::shared_ptr<GraphState>& /*state*/) { return {}; }

  /// The outputs for `inputs`, which carry the names of inputs() and passed check_input(); all that are
  /// required are there. Errors: kTooLarge when the outputs have more than `max_output_bytes`; kRuntimeError,
  /// kInvalidArgument, kUnsupportedOperation as the graph finds.
  virtual Expected<std::vector<training::Output>> compute(std::span<const TensorView> inputs,
                                                          std::uint64_t max_output_bytes) = 0;

 protected:
  Graph() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  /// The encoding that names it; none: it is found by detection only.
  [[nodiscard]] virtual std::optional<Encoding> encoding() const = 0;

  /// Whether a graph's first part looks like one of its own.
  [[nodiscard]] virtual bool recognizes(std::span<const std::byte> part) const = 0;

  /// A graph from its parts (at least one), which may keep `max_bytes`. `name` is for errors. Errors:
  /// kInvalidArgument for another number of parts than the format has; kInvalidEncoding, kSecurity,
  /// kUnsupportedOperation, kTooLarge.
  virtual Expected<std::shared_ptr<Graph>> load(std::span<const std::span<const std::byte>> parts,
                                                const std::string& name, std::uint64_t max_bytes) = 0;

 protected:
  Backend() = default;
};

}  // namespace wasmgrad::abi::nn
