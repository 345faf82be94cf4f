// The module tree that holds an exported program's parameters and buffers under their dotted names.
//
// Torch header. It must not know archives or JSON.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace wasmgrad::training::exported {

class ModuleTree {
 public:
  ModuleTree();

  /// Registers a tensor under a name like "layer1.0.weight". Throws Refusal for a name that is not made of
  /// identifiers or that is taken.
  void add(const std::string& name, const at::Tensor& tensor, bool is_parameter);

  /// Inserts the read of that tensor into a graph whose first input is the root.
  torch::jit::Value* read(torch::jit::Graph& graph, const std::string& name) const;

  /// Inserts the read of the mode of the module that has that tensor.
  torch::jit::Value* read_mode(torch::jit::Graph& graph, const std::string& name) const;

  [[nodiscard]] const torch::jit::Module& root() const { return modules_.at(""); }
  /// Gives the root its `forward`.
  void define_forward(const std::shared_ptr<torch::jit::Graph>& graph);

 private:
  torch::jit::Module make();

  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::map<std::string, torch::jit::Module> modules_;  ///< by dotted path
};

}  // namespace wasmgrad::training::exported
