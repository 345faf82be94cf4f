// The importer's graphs, walked: classes, methods, hooks, called functions, subgraphs, nested blocks, types.
#include "wasmgrad/training/torch/vet/walker.hpp"

#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/frontend/source_range.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/import_source.h>

#include <set>
#include <string_view>
#include <utility>

#include "wasmgrad/training/torch/vet/compiled_code.hpp"
#include "wasmgrad/training/torch/vet/grad_mode.hpp"
#include "wasmgrad/training/torch/vet/operators.hpp"

namespace wasmgrad::training::vet {
namespace {

namespace jit = torch::jit;

Error refused(const std::string& where, const std::string& what) {
  return {Errc::kSecurity, (where.empty() ? "code" : where) + ": " + what + " is not allowed"};
}

/// Walks with a work list, not by recursion: what calls what is up to the file.
class Walker {
 public:
  Status add_class(const c10::ClassTypePtr& type) {
    const std::string name = type->name() ? type->name()->qualifiedName() : type->str();
    if (!type->is_module()) return refused("", "class '" + name + "', which is not a module,");
    if (!classes_.insert(type.get()).second) return {};
    for (jit::Function* method : type->methods()) {
      if (method->name() == "__setstate__" || method->name() == "__getstate__") {
        return refused(name, "method '" + method->name() + "'");
      }
      functions_.push_back(method);
    }
    for (jit::Function* hook : type->getForwardHooks()) functions_.push_back(hook);
    for (jit::Function* hook : type->getForwardPreHooks()) functions_.push_back(hook);
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
      WASMGRAD_CHECK(check_type(type->getAttribute(i), name + "." + type->getAttributeName(i), true));
    }
    for (std::size_t i = 0; i < type->numConstants(); ++i) {
      WASMGRAD_CHECK(check_type(type->getConstant(i).type(), name + "." + type->getConstantName(i), true));
    }
    return {};
  }

  Status run() {
    while (!functions_.empty()) {
      jit::Function* function = functions_.back();
      functions_.pop_back();
      if (seen_.insert(function).second) WASMGRAD_CHECK(walk(*function));
    }
    return {};
  }

 private:
  Status walk(jit::Function& function) {
    const std::string where = function.qualname().qualifiedName();
    if (!function.isGraphFunction()) return refused(where, "a function that is not compiled from source");
    std::vector<jit::Block*> blocks{jit::toGraphFunction(function).graph()->block()};
    while (!blocks.empty()) {
      jit::Block* block = blocks.back();
      blocks.pop_back();
      for (jit::Value* input : block->inputs()) WASMGRAD_CHECK(check_type(input->type(), where, false));
      for (jit::Node* node : block->nodes()) {
        WASMGRAD_CHECK(check_node(*node, where));
        for (jit::Block* nested : node->blocks()) blocks.push_back(nested);
        for (const c10::Symbol attribute : node->attributeNames()) {
          if (node->kindOf(attribute) == jit::AttributeKind::g) blocks.push_back(node->g(attribute)->block());
          if (node->kindOf(attribute) == jit::AttributeKind::gs) {
            for (const auto& graph : node->gs(attribute)) blocks.push_back(graph->block());
          }
        }
      }
    }
    return {};
  }

  Status check_node(const jit::Node& node, const std::string& where) {
    const std::string kind = node.kind().toQualString();
    if (switches_gradients(node)) return {};
    if (!operator_allowed(kind)) {
      return Error{Errc::kSecurity, where + ": operator '" + kind + "' is not on the allow-list"};
    }
    if (const c10::FunctionSchema* schema = node.maybeSchema();
        schema != nullptr && !overload_allowed(schema->overload_name()) &&
        !(is_library_function(where) && is_one_out(*schema))) {
      return refused(where, "operator '" + kind + "." + schema->overload_name() + "'");
    }
    for (const jit::Value* output : node.outputs()) WASMGRAD_CHECK(check_type(output->type(), where, false));
    if (node.kind() == c10::prim::CallFunction) {
      const auto type = node.input(0)->type()->cast<c10::FunctionType>();
      if (!type) return refused(where, "an indirect call");
      functions_.push_back(type->function());
    }
    if (node.kind() == c10::prim::CallMethod) {
      const auto type = node.input(0)->type()->cast<c10::ClassType>();
      if (!type) return refused(where, "a call of a method on something that is not a module");
      WASMGRAD_CHECK(add_class(type));
    }
    if (node.kind() == c10::prim::unchecked_cast) return check_cast(node, where);
    return {};
  }

  static bool is_no_grad(const c10::TypePtr& type) {
    const auto named = type->cast<c10::ClassType>();
    return named && named->name() && named->name()->qualifiedName() == kNoGrad;
  }

  /// What `with torch.no_grad()` becomes. The class was compared with torch's letter by letter.
  static bool switches_gradients(const jit::Node& node) {
    switch (node.kind()) {
      case c10::prim::CreateObject:
        return is_no_grad(node.output()->type());
      case c10::prim::CallMethod:
      case c10::prim::Enter:
      case c10::prim::Exit:
        return is_no_grad(node.input(0)->type());
      default:
        return false;
    }
  }

  /// Whose branches for an `out` models do not take.
  static bool is_library_function(std::string_view name) {
    return name.starts_with("__torch__.torch.nn.functional.");
  }

  /// The form of div(x, y, out=z), which is only a refusal once the model is loaded (safe_operators.hpp).
  static bool is_one_out(const c10::FunctionSchema& schema) {
    const auto& arguments = schema.arguments();
    return schema.overload_name() == "out" && schema.returns().size() == 1 && !arguments.empty() &&
           arguments.back().name() == "out" && arguments.back().type()->kind() == c10::TypeKind::TensorType;
  }

  /// Every operator that takes such a value looks at its tag, and raises when it holds something else.
  static bool is_told_by_its_tag(const c10::TypePtr& type) {
    switch (type->kind()) {
      case c10::TypeKind::TensorType:
      case c10::TypeKind::IntType:
      case c10::TypeKind::FloatType:
      case c10::TypeKind::BoolType:
      case c10::TypeKind::StringType:
        return true;
      case c10::TypeKind::ListType:
        return type->containedType(0)->kind() == c10::TypeKind::IntType ||
               type->containedType(0)->kind() == c10::TypeKind::FloatType;
      default:
        return false;
    }
  }

  /// A cast is only what refining an Optional, or a Union of plain values, looks like; the interpreter trusts
  /// it blindly.
  static Status check_cast(const jit::Node& node, const std::string& where) {
    const c10::TypePtr from = node.input(0)->type();
    const c10::TypePtr to = node.output()->type();
    if (to->isSubtypeOf(*from)) {
      const auto optional = from->cast<c10::OptionalType>();
      if (*to == *from || to->kind() == c10::TypeKind::NoneType) return {};
      if (optional && *optional->getElementType() == *to) return {};
      if (from->kind() == c10::TypeKind::UnionType && is_told_by_its_tag(to)) return {};
    }
    if (from->isSubtypeOf(*to)) return {};
    return refused(where, "a cast from " + from->str() + " to " + to->str());
  }

  Status check_type(const c10::TypePtr& type, const std::string& where, bool stored) {
    switch (type->kind()) {
      case c10::TypeKind::TensorType:
      case c10::TypeKind::IntType:
      case c10::TypeKind::FloatType:
      case c10::TypeKind::ComplexType:
      case c10::TypeKind::BoolType:
      case c10::TypeKind::NumberType:
      case c10::TypeKind::StringType:
      case c10::TypeKind::NoneType:
      case c10::TypeKind::DeviceObjType:
        return {};
      case c10::TypeKind::UnionType:
        if (stored) break;
        [[fallthrough]];
      case c10::TypeKind::OptionalType:
      case c10::TypeKind::ListType:
      case c10::TypeKind::DictType:
      case c10::TypeKind::TupleType:
        for (const c10::TypePtr& element : type->containedTypes())
          WASMGRAD_CHECK(check_type(element, where, stored));
        return {};
      case c10::TypeKind::EnumType:
        return check_type(type->expectRef<c10::EnumType>().getValueType(), where, stored);
      case c10::TypeKind::ClassType:
        return add_class(type->expect<c10::ClassType>());
      case c10::TypeKind::FunctionType:
      case c10::TypeKind::LayoutType:
      case c10::TypeKind::MemoryFormatType:
      case c10::TypeKind::ScalarTypeType:
        if (!stored) return {};
        break;
      case c10::TypeKind::InterfaceType:
        return refused(where, "the interface type " + type->str());
      default:
        break;
    }
    return refused(where, "a value of type " + type->str());
  }

  std::vector<jit::Function*> functions_;
  std::set<const jit::Function*> seen_;
  std::set<const c10::ClassType*> classes_;
};

c10::ScalarType scalar_type(const std::string& storage) {
  if (storage == "LongStorage") return c10::kLong;
  if (storage == "IntStorage") return c10::kInt;
  if (storage == "ShortStorage") return c10::kShort;
  if (storage == "CharStorage") return c10::kChar;
  if (storage == "ByteStorage") return c10::kByte;
  if (storage == "BoolStorage") return c10::kBool;
  if (storage == "DoubleStorage") return c10::kDouble;
  if (storage == "HalfStorage") return c10::kHalf;
  if (storage == "BFloat16Storage") return c10::kBFloat16;
  if (storage == "ComplexFloatStorage") return c10::kComplexFloat;
  if (storage == "ComplexDoubleStorage") return c10::kComplexDouble;
  return c10::kFloat;
}

/// Stand-ins of the right kind for the constants that code may name.
Expected<std::vector<c10::IValue>> stand_ins(const Pickle& constants) {
  const Value& table = constants[constants.root];
  if (table.kind != ValueKind::kTuple)
    return Error{Errc::kInvalidEncoding, "constants.pkl: the table is not a tuple"};
  std::vector<c10::IValue> result;
  for (const ValueId item : table.items) {
    const Value& constant = constants[item];
    if (constant.kind == ValueKind::kTensor) {
      result.emplace_back(at::zeros({1}, at::TensorOptions(scalar_type(constant.text))));
    } else if (constant.kind == ValueKind::kString) {
      result.emplace_back(constant.text);
    } else {
      return Error{Errc::kSecurity,
                   "constants.pkl: a constant that is neither a tensor nor a string is not allowed"};
    }
  }
  return result;
}

Status import_classes(const std::vector<CodeUnit>& units, const SourceText& source, std::uint64_t version,
                      CompiledCode::State& state) {
  const jit::SourceImporter importer(
      state.unit, &state.constants,
      [&source](const std::string& qualifier) -> std::shared_ptr<jit::Source> {
        const std::string* text = source(qualifier);
        return text == nullptr ? nullptr : std::make_shared<jit::Source>(*text, qualifier, 1);
      },
      version);
  Walker walker;
  for (const CodeUnit& unit : units) {
    if (!unit.is_class) continue;
    const c10::TypePtr type = importer.loadType(c10::QualifiedName(unit.name));
    const auto module = type->cast<c10::ClassType>();
    if (!module) continue;  // a named tuple or an enumeration
    WASMGRAD_CHECK(walker.add_class(module));
    state.classes.emplace(unit.name, module);
  }
  return walker.run();
}

}  // namespace

CompiledCode::CompiledCode() : state_(std::make_unique<State>()) {}
CompiledCode::~CompiledCode() = default;
CompiledCode::CompiledCode(CompiledCode&&) noexcept = default;
CompiledCode& CompiledCode::operator=(CompiledCode&&) noexcept = default;

std::string first_sentence(const std::exception& error) {
  std::string text = error.what();
  const std::size_t start = text.find_first_not_of(" \n");
  text = start == std::string::npos ? "unknown error" : text.substr(start);
  text = text.substr(0, text.find('\n'));
  if (!text.empty() && text.back() == ':') text.pop_back();
  return text.substr(0, 300);
}

Expected<CompiledCode> compile_and_walk(const std::vector<CodeUnit>& units, const SourceText& source,
                                        const Pickle& constants, std::uint64_t version) try {
  CompiledCode code;
  code.state().unit = std::make_shared<jit::CompilationUnit>();
  WASMGRAD_ASSIGN(code.state().constants, stand_ins(constants));
  WASMGRAD_CHECK(import_classes(units, source, version, code.state()));
  return code;
} catch (const std::exception& error) {
  return Error{Errc::kInvalidEncoding, "code: it does not compile: " + first_sentence(error)};
}

}  // namespace wasmgrad::training::vet
