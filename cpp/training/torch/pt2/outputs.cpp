#include "wasmgrad/training/torch/pt2/outputs.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <set>
#include <utility>

#include "wasmgrad/training/torch/pt2/json.hpp"

namespace wasmgrad::training::pt2 {
namespace {

constexpr const char* kWhat = "the specification of the outputs";

[[noreturn]] void refuse(const std::string& found) {
  throw Refusal(Errc::kUnsupportedOperation,
                "forward returns " + found + "; expected Tensors, alone or in tuples, lists and dicts");
}

/// The way to each leaf of a tree, joined by dots.
class Ways {
 public:
  explicit Ways(const Json& tree) { visit(tree, ""); }

  std::vector<std::string> ways;
  bool named = false;  ///< a dict, or what has names for its parts as a dict has, is among what holds a leaf

 private:
  void visit(const Json& tree, const std::string& way) {
    const Json& type = member(tree, "type");
    if (type.is_null()) {
      ways.push_back(way);
      return;
    }
    const Json& children = array_member(tree, "children_spec");
    const std::vector<std::string> keys = keys_of(to_text(type), tree, children.size());
    for (std::size_t i = 0; i < children.size(); ++i)
      visit(children[i], way.empty() ? keys[i] : way + "." + keys[i]);
  }

  /// The keys that the container's context lists, or positions.
  std::vector<std::string> keys_of(const std::string& type, const Json& tree, std::size_t count) {
    std::vector<std::string> keys;
    if (type == "builtins.tuple" || type == "builtins.list" || type == "collections.namedtuple") {
      for (std::size_t i = 0; i < count; ++i) keys.push_back(std::to_string(i));
      return keys;
    }
    const Json context = parse_json(text_member(tree, "context"), kWhat);
    if (!context.is_array() || context.size() != count) refuse("a " + in_quotes(type));
    for (const Json& key : context) {
      if (!key.is_string()) refuse("a dict whose keys are not text");
      keys.push_back(to_text(key));
    }
    named = true;
    return keys;
  }
};

}  // namespace

torch::jit::Value* pack_outputs(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& outputs,
                                const std::string& specification) {
  const Json parsed = parse_json(specification, kWhat);  // [version, tree]
  if (!parsed.is_array() || parsed.size() != 2)
    refuse_malformed(std::string(kWhat) + " is not one of a tree");
  const Ways leaves(parsed[1]);
  if (leaves.ways.size() != outputs.size())
    refuse_malformed(std::string(kWhat) + " has another number of outputs than the graph");

  std::set<std::string> ways;
  for (std::size_t i = 0; leaves.named && i < outputs.size(); ++i)
    if (outputs[i] != nullptr && !ways.insert(leaves.ways[i]).second)
      refuse("two outputs that are called " + in_quotes(leaves.ways[i]));
  std::vector<torch::jit::Value*> tensors;
  std::vector<torch::jit::Value*> names;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == nullptr) continue;
    tensors.push_back(outputs[i]);
    if (leaves.named) names.push_back(torch::jit::insertConstant(graph, leaves.ways[i]));
  }
  if (tensors.empty()) refuse("no tensor");
  if (member(parsed[1], "type").is_null()) return tensors.front();
  torch::jit::Node* packed =
      leaves.named ? graph.createDict(c10::StringType::get(), c10::TensorType::get(), names, tensors)
                   : graph.createTuple(tensors);
  return graph.insertNode(packed)->output();
}

}  // namespace wasmgrad::training::pt2
