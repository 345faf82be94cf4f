// Blocks of an exported graph that ran under torch.no_grad() or torch.enable_grad(). TorchScript has no such
// blocks: what one computes stands in the graph itself, from detached inputs where autograd did not follow
// it.
#include <utility>

#include "wasmgrad/training/torch/pt2/graph_builder.hpp"

namespace wasmgrad::training::pt2 {

using torch::jit::Value;

namespace {

/// The argument of `node` at `index`, which must be of this kind.
const Json& argument_of_kind(const Json& node, std::size_t index, std::string_view kind) {
  const Json& inputs = array_member(node, "inputs");
  if (index >= inputs.size()) refuse_malformed("a block lacks arguments");
  const auto [tag, value] = to_union(member(inputs[index], "arg"));
  if (tag != kind) refuse_malformed("an argument of a block is not of the kind " + in_quotes(kind));
  return value;
}

/// The name of a tensor or number, as inputs and outputs of a block give it.
const std::string& name_of(const Json& value) {
  const auto [tag, named] = to_union(value);
  if (tag == "as_tensor") return text_member(named, "name");
  if (tag == "as_sym_int" || tag == "as_sym_float" || tag == "as_sym_bool")
    return text_member(named, "as_name");
  throw Refusal(Errc::kUnsupportedOperation,
                "a block takes or gives a value of the kind " + in_quotes(tag) + ", which is not supported");
}

}  // namespace

void GraphBuilder::add_block(const Json& node) {
  const bool with_gradients = to_bool(argument_of_kind(node, 0, "as_bool"));
  if (with_gradients && !gradients_) {
    throw Refusal(Errc::kUnsupportedOperation,
                  "a block under torch.enable_grad() inside one under torch.no_grad() is not supported");
  }
  const Json& block = member(argument_of_kind(node, 1, "as_graph"), "graph");
  const Json& inputs = array_member(node, "inputs");
  std::vector<Value*> given;
  for (std::size_t i = 2; i < inputs.size(); ++i) given.push_back(argument(member(inputs[i], "arg")));
  const std::vector<Value*> results = inline_block(block, given, with_gradients);
  const Json& outputs = array_member(node, "outputs");
  if (outputs.size() != results.size()) refuse_malformed("a block gives another number of results");
  for (std::size_t i = 0; i < results.size(); ++i) define(name_of(outputs[i]), results[i]);
}

std::vector<Value*> GraphBuilder::inline_block(const Json& block, const std::vector<Value*>& given,
                                               bool with_gradients) {
  const Json& inputs = array_member(block, "inputs");
  if (inputs.size() != given.size()) refuse_malformed("a block takes another number of arguments");
  const std::map<std::string, Value*> outer = std::exchange(values_, {});
  const bool outer_gradients = std::exchange(gradients_, with_gradients);
  std::map<std::string, Value*> untouched;
  for (std::size_t i = 0; i < given.size(); ++i) {
    untouched.emplace(name_of(inputs[i]), given[i]);
    define(name_of(inputs[i]), with_gradients ? given[i] : detached(given[i]));
  }
  for (const Json& node : array_member(block, "nodes")) add(node);
  std::vector<Value*> results;
  for (const Json& output : array_member(block, "outputs")) {
    // What only passes through is the same tensor still, with its gradient.
    const auto passed = untouched.find(name_of(output));
    const auto made = values_.find(name_of(output));
    if (made == values_.end())
      refuse_malformed("a block gives " + in_quotes(name_of(output)) + ", which it lacks");
    results.push_back(passed == untouched.end() ? made->second : passed->second);
  }
  values_ = outer;
  gradients_ = outer_gradients;
  return results;
}

Value* GraphBuilder::detached(Value* value) {
  if (!value->type()->isSubtypeOf(*c10::TensorType::get())) return value;
  return emit({"aten::detach", "", false}, {"aten.detach", {}, {{"self", value}}})->output();
}

}  // namespace wasmgrad::training::pt2
