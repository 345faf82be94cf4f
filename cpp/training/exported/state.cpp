#include "wasmgrad/training/exported/state.hpp"

#include <algorithm>

#include "wasmgrad/training/exported/json.hpp"

namespace wasmgrad::training::exported {
namespace {

constexpr std::size_t kMaxPieces = 64;

std::vector<std::string> pieces_of(const std::string& name) {
  std::vector<std::string> pieces(1);
  for (const char c : name) {
    const bool plain = c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c == '.') {
      pieces.emplace_back();
    } else if (plain) {
      pieces.back() += c;
    } else {
      refuse_malformed(in_quotes(name) + " is not a name of a parameter or buffer");
    }
  }
  const auto unusable = [](const std::string& piece) {
    return piece.empty() || piece == "training" || piece == "forward";
  };
  if (pieces.size() > kMaxPieces || std::ranges::any_of(pieces, unusable))
    refuse_malformed(in_quotes(name) + " is not a name of a parameter or buffer");
  return pieces;
}

}  // namespace

ModuleTree::ModuleTree() : unit_(std::make_shared<torch::jit::CompilationUnit>()) {
  modules_.emplace("", make());
}

torch::jit::Module ModuleTree::make() {
  // Classes differ in their attributes, so each module has one of its own.
  torch::jit::Module module("__torch__.Exported", unit_, /*shouldMangle=*/true);
  module.register_attribute("training", c10::BoolType::get(), false);
  return module;
}

void ModuleTree::add(const std::string& name, const at::Tensor& tensor, bool is_parameter) {
  const std::vector<std::string> pieces = pieces_of(name);
  const auto refuse_taken = [&name] { refuse_malformed("the name " + in_quotes(name) + " is taken"); };
  std::string path;
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    torch::jit::Module parent = modules_.at(path);
    path += (path.empty() ? "" : ".") + pieces[i];
    if (modules_.count(path) != 0) continue;
    if (parent.hasattr(pieces[i])) refuse_taken();
    parent.register_module(pieces[i], modules_.emplace(path, make()).first->second);
  }
  torch::jit::Module owner = modules_.at(path);
  if (owner.hasattr(pieces.back())) refuse_taken();
  owner.register_parameter(pieces.back(), tensor, /*is_buffer=*/!is_parameter);
}

torch::jit::Value* ModuleTree::read(torch::jit::Graph& graph, const std::string& name) const {
  torch::jit::Value* value = graph.inputs()[0];
  for (const std::string& piece : pieces_of(name)) value = graph.insertGetAttr(value, piece);
  return value;
}

torch::jit::Value* ModuleTree::read_mode(torch::jit::Graph& graph, const std::string& name) const {
  torch::jit::Value* value = graph.inputs()[0];
  std::vector<std::string> pieces = pieces_of(name);
  pieces.back() = "training";
  for (const std::string& piece : pieces) value = graph.insertGetAttr(value, piece);
  return value;
}

void ModuleTree::define_forward(const std::shared_ptr<torch::jit::Graph>& graph) {
  const c10::ClassTypePtr type = root().type();
  std::vector<c10::Argument> arguments;
  for (const torch::jit::Value* input : graph->inputs())
    arguments.emplace_back(input->debugName(), input->type());
  c10::FunctionSchema schema("forward", "", std::move(arguments),
                             {c10::Argument("", graph->outputs()[0]->type())});
  torch::jit::Function* forward = unit_->create_function(c10::QualifiedName(*type->name(), "forward"), graph);
  forward->setSchema(std::move(schema));
  type->addMethod(forward);
}

}  // namespace wasmgrad::training::exported
