// Builds a TorchScript graph from the nodes of an exported one: every operator by its schema, every argument
// matched against it.
//
// Torch header. It must not know archives or signatures.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "wasmgrad/training/torch/pt2/json.hpp"
#include "wasmgrad/training/torch/pt2/recorded_mode.hpp"
#include "wasmgrad/training/torch/pt2/targets.hpp"

namespace wasmgrad::training::pt2 {

class GraphBuilder {
 public:
  /// `graph` has the module as its first input, whose attribute `training` is the mode.
  explicit GraphBuilder(torch::jit::Graph& graph);

  /// Names a value. Throws Refusal when the name is taken.
  void define(const std::string& name, torch::jit::Value* value);
  /// Names a parameter, a buffer or a constant, which only training may change: that of the module whose
  /// `mode` is given, or of the whole without one.
  void define_state(const std::string& name, torch::jit::Value* value, torch::jit::Value* mode = nullptr);
  /// The tensor of that name. Throws Refusal when there is none.
  [[nodiscard]] torch::jit::Value* tensor(const std::string& name) const;

  /// Adds one node of the exported graph. Throws Refusal.
  void add(const Json& node);
  /// `target.copy_(value)` in training mode only.
  void update(torch::jit::Value* target, torch::jit::Value* value);

 private:
  struct Call {
    std::string target;  ///< as the graph names it, for errors
    std::vector<torch::jit::NamedValue> positional;
    std::vector<torch::jit::NamedValue> named;
  };

  void add_block(const Json& node);
  std::vector<torch::jit::Value*> inline_block(const Json& block,
                                               const std::vector<torch::jit::Value*>& given,
                                               bool with_gradients);
  torch::jit::Value* detached(torch::jit::Value* value);
  torch::jit::Value* constant(c10::IValue value);
  torch::jit::Value* defined(const std::string& name, const c10::TypePtr& type) const;
  torch::jit::Value* argument(const Json& union_value);
  torch::jit::Value* list(const c10::TypePtr& element, const Json& values, bool symbolic);
  torch::jit::Value* follow_mode(const Json& node, const std::string& name, const Json& union_value);
  torch::jit::Value* mode_of(const Json& node) const;
  torch::jit::Node* emit(const Target& target, const Call& call);
  torch::jit::Node* only_in_training(torch::jit::Node* node, torch::jit::Value* otherwise);
  torch::jit::Value* written_state(const torch::jit::Node* node, const c10::FunctionSchema& schema) const;
  void track_views(const torch::jit::Node* node, const c10::FunctionSchema& schema,
                   at::ArrayRef<torch::jit::Value*> inputs);
  void name_outputs(const Json& outputs, torch::jit::Node* node, const std::string& target);
  void name_output(const Json& output, torch::jit::Value* value, const std::string& target);

  torch::jit::Graph& graph_;
  torch::jit::Value* training_;
  std::map<std::string, torch::jit::Value*> values_;  ///< of the block that is being built
  bool gradients_ = true;                             ///< whether autograd follows that block
  /// What shares memory with a parameter or buffer, and the mode of the module that has it.
  std::unordered_map<const torch::jit::Value*, torch::jit::Value*> state_;
};

}  // namespace wasmgrad::training::pt2
