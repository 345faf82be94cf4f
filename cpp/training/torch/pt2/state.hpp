// The module tree that holds an exported program's parameters and buffers under their dotted names, or under
// what stands for them in TorchScript.
//
// Torch header. It must not know archives or JSON.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "wasmgrad/training/model/model_names.hpp"

namespace wasmgrad::training::pt2 {

class ModuleTree {
 public:
  ModuleTree();

  /// Registers a tensor under a name like "layer1.0.weight". Throws Refusal for a name with an empty piece,
  /// or one that is taken.
  void add(const std::string& name, const at::Tensor& tensor, bool is_parameter);

  /// Inserts the read of that tensor into a graph whose first input is the root.
  torch::jit::Value* read(torch::jit::Graph& graph, const std::string& name) const;

  /// Inserts the read of the mode of the module that has that tensor.
  torch::jit::Value* read_mode(torch::jit::Graph& graph, const std::string& name) const;

  [[nodiscard]] const torch::jit::Module& root() const { return scopes_.at("").module; }
  /// Gives the root its `forward`, whose arguments after self are so called.
  void define_forward(const std::shared_ptr<torch::jit::Graph>& graph,
                      const std::vector<std::string>& arguments);

  /// Where names in the tree are not the program's own.
  [[nodiscard]] const std::map<std::string, std::string>& carried_names() const { return carried_; }

 private:
  /// A module of the tree, and its attributes by their own names.
  struct Scope {
    torch::jit::Module module;
    std::map<std::string, std::string> attributes;
    std::set<std::string> taken;
  };
  Scope make();

  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::map<std::string, Scope> scopes_;                    ///< by dotted path
  std::map<std::string, std::vector<std::string>> paths_;  ///< the attributes that lead to each tensor
  std::map<std::string, std::string> carried_;             ///< own names by those in the tree
};

}  // namespace wasmgrad::training::pt2
