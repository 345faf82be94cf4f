#include "wasmgrad/training/torch/model/outputs.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "wasmgrad/training/torch/dtype_map.hpp"

namespace wasmgrad::training {

namespace {

Error unsupported(std::string message) { return {Errc::kUnsupportedOperation, std::move(message)}; }

/// Takes a model's result apart. Leaves are called by the way to them where a dict or a named tuple is among
/// what holds one, and else by their position among all.
class Leaves {
 public:
  Status visit(const c10::IValue& value, const std::string& way) {
    if (value.isTensor()) {
      found_.push_back({way, value.toTensor()});
    } else if (value.isTuple()) {
      const auto& elements = value.toTupleRef().elements();
      const auto& schema = value.type()->expectRef<c10::TupleType>().schema();
      named_ = named_ || schema != nullptr;
      for (std::size_t i = 0; i < elements.size(); ++i)
        WASMGRAD_CHECK(
            visit(elements[i], join(way, schema ? schema->arguments()[i].name() : std::to_string(i))));
    } else if (value.isList()) {
      std::size_t i = 0;
      for (const c10::IValue& element : value.toListRef())
        WASMGRAD_CHECK(visit(element, join(way, std::to_string(i++))));
    } else if (value.isGenericDict()) {
      named_ = true;
      for (const auto& entry : value.toGenericDict()) {
        if (!entry.key().isString()) return unsupported("the model returns a dictionary without text keys");
        WASMGRAD_CHECK(visit(entry.value(), join(way, entry.key().toStringRef())));
      }
    } else if (!value.isNone()) {
      return unsupported("output '" + way + "' is a " + value.tagKind() + "; expected a Tensor");
    }
    return {};
  }

  Expected<std::vector<NamedTensor>> take() {
    for (std::size_t i = 0; !named_ && i < found_.size(); ++i) found_[i].name = std::to_string(i);
    std::set<std::string> names;
    for (const NamedTensor& output : found_)
      if (!names.insert(output.name).second)
        return unsupported("two outputs are called '" + output.name + "'");
    return std::move(found_);
  }

 private:
  static std::string join(const std::string& way, const std::string& key) {
    return way.empty() ? key : way + "." + key;
  }

  std::vector<NamedTensor> found_;
  bool named_ = false;
};

}  // namespace

Expected<std::vector<NamedTensor>> outputs_of(const c10::IValue& returned) {
  Leaves leaves;
  WASMGRAD_CHECK(leaves.visit(returned, ""));
  return leaves.take();
}

bool holds_tensors(const c10::TypePtr& type) {
  if (c10::TensorType::get()->isSubtypeOf(*type)) return true;  // or nothing
  if (type->kind() == c10::TypeKind::DictType && type->containedType(0)->kind() != c10::TypeKind::StringType)
    return false;
  if (type->kind() == c10::TypeKind::DictType) return holds_tensors(type->containedType(1));
  const bool container = type->kind() == c10::TypeKind::TupleType ||
                         type->kind() == c10::TypeKind::ListType ||
                         type->kind() == c10::TypeKind::OptionalType;
  return container && std::ranges::all_of(type->containedTypes(), holds_tensors);
}

Expected<Output> output_of(const NamedTensor& output, std::uint64_t& budget) {
  const at::Tensor tensor = output.tensor.defined() && output.tensor.scalar_type() == at::kBool
                                ? output.tensor.view(at::kByte)
                                : output.tensor;
  const auto dtype = tensor.defined() ? to_dtype(tensor.scalar_type()) : std::nullopt;
  if (!dtype || tensor.layout() != at::kStrided || !tensor.device().is_cpu()) {
    return unsupported("output '" + output.name + "' is " +
                       (tensor.defined() ? "of type " + std::string(tensor.dtype().name()) : "undefined") +
                       "; expected a dense tensor of f16, f32, f64, u8, i32, i64, bf16 or truth values");
  }
  // An expanded tensor has many more elements than bytes: judged before it is made dense.
  const auto elements = static_cast<std::uint64_t>(tensor.numel());
  if (elements > budget / dtype_size(*dtype)) {
    return Error{Errc::kTooLarge, "output '" + output.name + "' has shape " +
                                      format_shape(tensor.sizes().vec()) + " of " +
                                      std::string(dtype_name(*dtype)) + "; " + std::to_string(budget) +
                                      " bytes are left for outputs"};
  }
  const at::Tensor dense = tensor.contiguous();
  Output result{output.name, *dtype, dense.sizes().vec(), {}};
  result.bytes.resize(elements * dtype_size(*dtype));
  if (!result.bytes.empty()) std::memcpy(result.bytes.data(), dense.const_data_ptr(), result.bytes.size());
  budget -= result.bytes.size();
  return result;
}

}  // namespace wasmgrad::training
