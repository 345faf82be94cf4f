#include "wasmgrad/training/torch/pt2/graph_builder.hpp"

#include <torch/csrc/jit/frontend/schema_matching.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <array>
#include <utility>

#include "wasmgrad/training/torch/model/mode_names.hpp"
#include "wasmgrad/training/torch/pt2/tensors.hpp"
#include "wasmgrad/training/torch/vet/operators.hpp"

namespace wasmgrad::training::pt2 {

using c10::TypePtr;
using torch::jit::Block;
using torch::jit::NamedValue;
using torch::jit::Node;
using torch::jit::Value;

namespace {

/// A block under torch.no_grad() or torch.enable_grad().
constexpr std::string_view kGradientBlock = "torch.ops.higher_order.wrap_with_set_grad_enabled";

constexpr std::int64_t kStridedLayout = 7;  ///< torch.export's number of the dense layout

/// torch.export's numbers of memory formats, by torch's own.
constexpr std::array kMemoryFormats = {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast,
                                       at::MemoryFormat::ChannelsLast3d, at::MemoryFormat::Preserve};

[[noreturn]] void refuse_unsupported(std::string message) {
  throw Refusal(Errc::kUnsupportedOperation, std::move(message));
}

c10::IValue memory_format(const Json& value) {
  const std::int64_t number = to_int(value);
  if (number < 1 || number > static_cast<std::int64_t>(kMemoryFormats.size()))
    refuse_unsupported("the memory format number " + std::to_string(number) + " is not known");
  return static_cast<std::int64_t>(kMemoryFormats[static_cast<std::size_t>(number - 1)]);
}

c10::IValue layout(const Json& value) {
  if (to_int(value) != kStridedLayout) refuse_unsupported("only dense tensors are supported");
  return static_cast<std::int64_t>(at::Layout::Strided);
}

c10::IValue device(const Json& value) {
  const std::string& type = text_member(value, "type");
  if (type != "cpu")
    refuse_unsupported("it was exported on the device " + in_quotes(type) + ", expected 'cpu'");
  return c10::Device(at::kCPU);
}

/// One element of a list of symbolic numbers: a name, or a number.
bool is_name(const Json& element) { return to_union(element).first == "as_name"; }

const c10::FunctionSchema* exact_schema(const Target& target) {
  const auto found = torch::jit::findOperatorFor({target.name, target.overload});
  return found ? &found->schema() : nullptr;
}

bool is_float(const TypePtr& type) {
  const auto optional = type->cast<c10::OptionalType>();
  return (optional ? optional->getElementType() : type)->kind() == c10::TypeKind::FloatType;
}

}  // namespace

GraphBuilder::GraphBuilder(torch::jit::Graph& graph)
    : graph_(graph), training_(graph.insertGetAttr(graph.inputs()[0], "training")) {}

void GraphBuilder::define(const std::string& name, Value* value) {
  if (!values_.emplace(name, value).second)
    refuse_malformed("the name " + in_quotes(name) + " is defined twice");
}

void GraphBuilder::define_state(const std::string& name, Value* value, Value* mode) {
  define(name, value);
  state_.emplace(value, mode == nullptr ? training_ : mode);
}

Value* GraphBuilder::defined(const std::string& name, const TypePtr& type) const {
  const auto found = values_.find(name);
  if (found == values_.end())
    refuse_malformed("the name " + in_quotes(name) + " is used before it is defined");
  if (!found->second->type()->isSubtypeOf(*type)) {
    refuse_malformed(in_quotes(name) + " is a " + found->second->type()->str() + ", used as a " +
                     type->str());
  }
  return found->second;
}

Value* GraphBuilder::tensor(const std::string& name) const { return defined(name, c10::TensorType::get()); }

Value* GraphBuilder::constant(c10::IValue value) { return torch::jit::insertConstant(graph_, value); }

Value* GraphBuilder::list(const TypePtr& element, const Json& values, bool symbolic) {
  if (!values.is_array()) refuse_malformed("a list argument is not a list");
  std::vector<Value*> elements;
  for (const Json& value : values) {
    const Json& plain = symbolic && !is_name(value) ? to_union(value).second : value;
    if (symbolic && is_name(value)) {
      elements.push_back(defined(text_member(value, "as_name"), element));
    } else if (element->kind() == c10::TypeKind::IntType) {
      elements.push_back(constant(to_int(plain)));
    } else if (element->kind() == c10::TypeKind::FloatType) {
      elements.push_back(constant(to_double(plain)));
    } else if (element->kind() == c10::TypeKind::BoolType) {
      elements.push_back(constant(to_bool(plain)));
    } else {
      elements.push_back(constant(to_text(plain)));
    }
  }
  return graph_.insertNode(graph_.createList(element, elements))->output();
}

Value* GraphBuilder::argument(const Json& union_value) {
  const auto [tag, value] = to_union(union_value);
  const auto optional_tensor = [this](const Json& choice) {
    const auto [kind, inner] = to_union(choice);
    return kind == "as_none" ? constant({}) : tensor(text_member(inner, "name"));
  };
  if (tag == "as_none") return constant({});
  if (tag == "as_tensor") return tensor(text_member(value, "name"));
  if (tag == "as_optional_tensor") return optional_tensor(value);
  if (tag == "as_int") return constant(to_int(value));
  if (tag == "as_float") return constant(to_double(value));
  if (tag == "as_bool") return constant(to_bool(value));
  if (tag == "as_string") return constant(to_text(value));
  if (tag == "as_scalar_type") return constant(static_cast<std::int64_t>(scalar_type(value)));
  if (tag == "as_memory_format") return constant(memory_format(value));
  if (tag == "as_layout") return constant(layout(value));
  if (tag == "as_device") return constant(device(value));
  if (tag == "as_sym_int")
    return is_name(value) ? defined(text_member(value, "as_name"), c10::IntType::get())
                          : constant(to_int(to_union(value).second));
  if (tag == "as_sym_float")
    return is_name(value) ? defined(text_member(value, "as_name"), c10::FloatType::get())
                          : constant(to_double(to_union(value).second));
  if (tag == "as_sym_bool")
    return is_name(value) ? defined(text_member(value, "as_name"), c10::BoolType::get())
                          : constant(to_bool(to_union(value).second));
  if (tag == "as_ints") return list(c10::IntType::get(), value, false);
  if (tag == "as_floats") return list(c10::FloatType::get(), value, false);
  if (tag == "as_bools") return list(c10::BoolType::get(), value, false);
  if (tag == "as_strings") return list(c10::StringType::get(), value, false);
  if (tag == "as_sym_ints") return list(c10::IntType::get(), value, true);
  if (tag == "as_sym_floats") return list(c10::FloatType::get(), value, true);
  if (tag == "as_sym_bools") return list(c10::BoolType::get(), value, true);
  if ((tag == "as_tensors" || tag == "as_optional_tensors") && value.is_array()) {
    std::vector<Value*> elements;
    for (const Json& element : value)
      elements.push_back(tag == "as_tensors" ? tensor(text_member(element, "name"))
                                             : optional_tensor(element));
    const TypePtr type =
        tag == "as_tensors" ? TypePtr(c10::TensorType::get()) : c10::OptionalType::ofTensor();
    return graph_.insertNode(graph_.createList(type, elements))->output();
  }
  refuse_unsupported("an argument of the kind " + in_quotes(tag) + " is not supported");
}

/// That of the module whose running statistics the node uses, or of the whole.
Value* GraphBuilder::mode_of(const Json& node) const {
  for (const Json& input : array_member(node, "inputs")) {
    if (text_member(input, "name") != "running_mean") continue;
    const Json* given = &member(input, "arg");
    while (to_union(*given).first == "as_optional_tensor") given = &to_union(*given).second;
    const auto mode = state_.find(tensor(text_member(to_union(*given).second, "name")));
    if (mode != state_.end()) return mode->second;
  }
  return training_;
}

Value* GraphBuilder::follow_mode(const Json& node, const std::string& name, const Json& union_value) {
  const auto [tag, value] = to_union(union_value);
  if (is_mode_argument(name) && tag == "as_bool" && has_two_modes(node))
    return to_bool(value) ? mode_of(node) : nullptr;
  if (name != "dropout_p" || tag != "as_float") return nullptr;
  Node* branch = graph_.insertNode(graph_.create(c10::prim::If, {training_}, 1));
  for (const double probability : {to_double(value), 0.0}) {
    Block* block = branch->addBlock();
    const torch::jit::WithInsertPoint inside(block);
    block->registerOutput(constant(probability));
  }
  return branch->output()->setType(c10::FloatType::get());
}

void GraphBuilder::add(const Json& node) {
  if (text_member(node, "target") == kGradientBlock) {
    add_block(node);
    return;
  }
  Call call{text_member(node, "target"), {}, {}};
  const std::optional<Target> target = target_of(call.target);
  if (!target) return;
  const c10::FunctionSchema* exact = target->positional ? nullptr : exact_schema(*target);
  if (exact == nullptr && !target->positional)
    refuse_unsupported(in_quotes(call.target) + " is not an operator of this PyTorch");

  const Json& inputs = array_member(node, "inputs");
  for (const Json& input : inputs) {
    const std::string& name = text_member(input, "name");
    const Json& given = member(input, "arg");
    if (target->positional) {
      call.positional.emplace_back(argument(given));
      continue;
    }
    const auto index = exact->argumentIndexWithName(name);
    if (!index) refuse_malformed(in_quotes(call.target) + " has no argument " + in_quotes(name));
    Value* value = follow_mode(node, name, given);
    if (value == nullptr) {
      const bool whole = to_union(given).first == "as_int" && is_float(exact->arguments()[*index].type());
      value = whole ? constant(to_double(to_union(given).second)) : argument(given);
    }
    if (target->name == "aten::embedding_renorm_" && name == "self") value = detached(value);
    call.named.emplace_back(name, value);
  }
  name_outputs(array_member(node, "outputs"), emit(*target, call), call.target);
}

Node* GraphBuilder::emit(const Target& target, const Call& call) {
  // The overload that the graph names comes first; Python passes numbers where it has a tensor, which
  // TorchScript takes by an overload of their own.
  std::vector<const c10::FunctionSchema*> schemas;
  if (!target.positional) schemas.push_back(exact_schema(target));
  const c10::Symbol kind = c10::Symbol::fromQualString(target.name);
  for (const auto& candidate : torch::jit::getAllOperatorsFor(kind)) {
    const c10::FunctionSchema& schema = candidate->schema();
    if (vet::overload_allowed(schema.overload_name()) && (schemas.empty() || &schema != schemas.front()))
      schemas.push_back(&schema);
  }
  try {
    const auto [chosen, matched] =
        torch::jit::matchSchemas(schemas, torch::jit::SourceRange(), graph_, call.positional, call.named);
    const c10::FunctionSchema& schema = *schemas[chosen];
    Node* node = graph_.insertNode(graph_.create(kind, matched.inputs, 0));
    for (const TypePtr& type : matched.return_types) node->addOutput()->setType(type);
    track_views(node, schema, matched.inputs);
    // An embedding's rows are scaled to their largest norm in evaluation mode, too.
    Value* written = kind == c10::aten::embedding_renorm_ ? nullptr : written_state(node, schema);
    return written == nullptr ? node : only_in_training(node, written);
  } catch (const Refusal&) {
    throw;
  } catch (const std::exception&) {
    refuse_malformed("the arguments of " + in_quotes(call.target) + " do not fit its schema" +
                     (target.positional ? "" : " " + toString(*schemas.front())));
  }
}

Value* GraphBuilder::written_state(const Node* node, const c10::FunctionSchema& schema) const {
  for (std::size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::AliasInfo* alias = schema.arguments()[i].alias_info();
    if (alias != nullptr && alias->isWrite() && state_.count(node->input(i)) != 0) return node->input(i);
  }
  return nullptr;
}

void GraphBuilder::track_views(const Node* node, const c10::FunctionSchema& schema,
                               at::ArrayRef<Value*> inputs) {
  const auto of_state =
      std::ranges::find_if(inputs, [this](const Value* input) { return state_.count(input) != 0; });
  if (of_state == inputs.end()) return;
  Value* mode = state_.at(*of_state);
  for (std::size_t i = 0; i < schema.returns().size(); ++i)
    if (schema.returns()[i].alias_info() != nullptr) state_.emplace(node->output(i), mode);
}

Node* GraphBuilder::only_in_training(Node* node, Value* otherwise) {
  if (node->outputs().size() > 1) {
    refuse_unsupported(in_quotes(node->kind().toQualString()) +
                       " writes to a parameter or buffer and gives several results");
  }
  Value* mode = state_.at(otherwise);
  Node* branch = graph_.insertNode(graph_.create(c10::prim::If, {mode}, 0));
  Block* training = branch->addBlock();
  Block* evaluation = branch->addBlock();
  node->moveBefore(training->return_node());
  for (Value* output : node->outputs()) {
    training->registerOutput(output);
    evaluation->registerOutput(otherwise);
    state_.emplace(branch->addOutput()->setType(output->type()), mode);
  }
  return branch;
}

void GraphBuilder::update(Value* target, Value* value) {
  emit({"aten::copy_", "", false}, {"aten.copy_", {}, {{"self", target}, {"src", value}}});
}

void GraphBuilder::name_outputs(const Json& outputs, Node* node, const std::string& target) {
  if (outputs.size() != node->outputs().size()) {
    refuse_malformed(in_quotes(target) + " gives " + std::to_string(node->outputs().size()) +
                     " results, not " + std::to_string(outputs.size()));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) name_output(outputs[i], node->output(i), target);
}

void GraphBuilder::name_output(const Json& output, Value* value, const std::string& target) {
  const auto [tag, named] = to_union(output);
  const auto expect = [&](const TypePtr& type) {
    if (!value->type()->isSubtypeOf(*type)) {
      refuse_unsupported(in_quotes(target) + " gives a " + value->type()->str() + " where the graph has a " +
                         type->str());
    }
  };
  if (tag == "as_none") return;
  if (tag == "as_tensor") {
    expect(c10::TensorType::get());
    define(text_member(named, "name"), value);
  } else if (tag == "as_sym_int" || tag == "as_sym_float" || tag == "as_sym_bool") {
    expect(tag == "as_sym_int"     ? TypePtr(c10::IntType::get())
           : tag == "as_sym_float" ? TypePtr(c10::FloatType::get())
                                   : TypePtr(c10::BoolType::get()));
    define(text_member(named, "as_name"), value);
  } else if (tag == "as_tensors" && named.is_array()) {
    expect(c10::ListType::ofTensors());
    Node* unpack = graph_.insertNode(graph_.createListUnpack(value, named.size()));
    const auto of_state = state_.find(value);
    for (std::size_t i = 0; i < named.size(); ++i) {
      const std::string& name = text_member(named[i], "name");
      if (of_state == state_.end()) {
        define(name, unpack->output(i));
      } else {
        define_state(name, unpack->output(i), of_state->second);
      }
    }
  } else {
    refuse_unsupported(in_quotes(target) + " gives a result of the kind " + in_quotes(tag) +
                       ", which is not supported");
  }
}

}  // namespace wasmgrad::training::pt2
