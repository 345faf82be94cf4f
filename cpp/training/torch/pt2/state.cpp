#include "wasmgrad/training/torch/pt2/state.hpp"

#include <algorithm>
#include <utility>

#include "wasmgrad/training/torch/pt2/json.hpp"

namespace wasmgrad::training::pt2 {
namespace {

constexpr std::size_t kMaxPieces = 64;

std::vector<std::string> pieces_of(const std::string& name) {
  std::vector<std::string> pieces(1);
  for (const char c : name) {
    if (c == '.') {
      pieces.emplace_back();
    } else {
      pieces.back() += c;
    }
  }
  if (pieces.size() > kMaxPieces || std::ranges::any_of(pieces, &std::string::empty))
    refuse_malformed(in_quotes(name) + " is not a name of a parameter or buffer");
  return pieces;
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string name;
  for (const std::string& piece : pieces) name += (name.empty() ? "" : ".") + piece;
  return name;
}

}  // namespace

ModuleTree::ModuleTree() : unit_(std::make_shared<torch::jit::CompilationUnit>()) {
  scopes_.emplace("", make());
}

ModuleTree::Scope ModuleTree::make() {
  // Classes differ in their attributes, so each module has one of its own.
  torch::jit::Module module("__torch__.Exported", unit_, /*shouldMangle=*/true);
  module.register_attribute("training", c10::BoolType::get(), false);
  return {std::move(module), {}, {"training"}};
}

void ModuleTree::add(const std::string& name, const at::Tensor& tensor, bool is_parameter) {
  const std::vector<std::string> pieces = pieces_of(name);
  const auto refuse_taken = [&name] { refuse_malformed("the name " + in_quotes(name) + " is taken"); };
  std::vector<std::string>& path = paths_[name];
  std::string dotted;
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    Scope& parent = scopes_.at(dotted);
    dotted += (dotted.empty() ? "" : ".") + pieces[i];
    if (!scopes_.contains(dotted)) {
      if (parent.attributes.contains(pieces[i])) refuse_taken();
      const std::string attribute = carried_attribute(pieces[i], parent.taken);
      parent.attributes.emplace(pieces[i], attribute);
      parent.module.register_module(attribute, scopes_.emplace(dotted, make()).first->second.module);
    }
    path.push_back(parent.attributes.at(pieces[i]));
  }
  Scope& owner = scopes_.at(dotted);
  if (owner.attributes.contains(pieces.back())) refuse_taken();
  path.push_back(carried_attribute(pieces.back(), owner.taken));
  owner.attributes.emplace(pieces.back(), path.back());
  owner.module.register_parameter(path.back(), tensor, /*is_buffer=*/!is_parameter);
  if (std::string carried = joined(path); carried != name) carried_.emplace(std::move(carried), name);
}

torch::jit::Value* ModuleTree::read(torch::jit::Graph& graph, const std::string& name) const {
  torch::jit::Value* value = graph.inputs()[0];
  // Nameless, so that the printed code never gives a variable the name of a function that it calls.
  for (const std::string& attribute : paths_.at(name))
    value = graph.insertGetAttr(value, attribute)->setDebugName("");
  return value;
}

torch::jit::Value* ModuleTree::read_mode(torch::jit::Graph& graph, const std::string& name) const {
  torch::jit::Value* value = graph.inputs()[0];
  std::vector<std::string> path = paths_.at(name);
  path.back() = "training";
  for (const std::string& attribute : path) value = graph.insertGetAttr(value, attribute)->setDebugName("");
  return value;
}

void ModuleTree::define_forward(const std::shared_ptr<torch::jit::Graph>& graph,
                                const std::vector<std::string>& names) {
  const c10::ClassTypePtr type = root().type();
  std::vector<c10::Argument> arguments{c10::Argument("self", type)};
  for (std::size_t i = 0; i < names.size(); ++i)
    arguments.emplace_back(names[i], graph->inputs()[i + 1]->type());
  c10::FunctionSchema schema("forward", "", std::move(arguments),
                             {c10::Argument("", graph->outputs()[0]->type())});
  torch::jit::Function* forward = unit_->create_function(c10::QualifiedName(*type->name(), "forward"), graph);
  forward->setSchema(std::move(schema));
  type->addMethod(forward);
}

}  // namespace wasmgrad::training::pt2
