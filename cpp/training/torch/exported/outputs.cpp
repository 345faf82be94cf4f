#include "wasmgrad/training/torch/exported/outputs.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include "wasmgrad/training/torch/exported/json.hpp"

namespace wasmgrad::training::exported {
namespace {

constexpr const char* kWhat = "the specification of the outputs";

[[noreturn]] void refuse(const std::string& found) {
  throw Refusal(
      Errc::kUnsupportedOperation,
      "forward returns " + found + "; expected a Tensor, a tuple or list of Tensors, or a dict of Tensors");
}

}  // namespace

torch::jit::Value* pack_outputs(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& outputs,
                                const std::string& specification) {
  const Json parsed = parse_json(specification, kWhat);  // [version, tree]
  if (!parsed.is_array() || parsed.size() != 2)
    refuse_malformed(std::string(kWhat) + " is not one of a tree");
  const Json& tree = parsed[1];
  const Json& type = member(tree, "type");
  const Json& children = array_member(tree, "children_spec");
  for (const Json& child : children)
    if (!member(child, "type").is_null()) refuse("containers inside containers");

  const std::size_t leaves = type.is_null() ? 1 : children.size();
  if (leaves != outputs.size() || outputs.empty())
    refuse(std::to_string(leaves) + " values, not all tensors");
  if (type.is_null()) return outputs.front();
  const std::string& name = to_text(type);
  if (name == "builtins.tuple" || name == "builtins.list")
    return graph.insertNode(graph.createTuple(outputs))->output();
  if (name != "builtins.dict" && name != "collections.OrderedDict") refuse("a " + in_quotes(name));

  const Json keys = parse_json(text_member(tree, "context"), kWhat);
  if (!keys.is_array() || keys.size() != outputs.size()) refuse_malformed(std::string(kWhat) + " lacks keys");
  std::vector<torch::jit::Value*> names;
  for (const Json& key : keys) {
    if (!key.is_string()) refuse("a dict whose keys are not text");
    names.push_back(torch::jit::insertConstant(graph, to_text(key)));
  }
  return graph.insertNode(graph.createDict(c10::StringType::get(), c10::TensorType::get(), names, outputs))
      ->output();
}

}  // namespace wasmgrad::training::exported
