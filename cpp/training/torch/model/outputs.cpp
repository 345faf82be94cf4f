#include "wasmgrad/training/torch/model/outputs.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "wasmgrad/training/torch/dtype_map.hpp"

namespace wasmgrad::training {

namespace {

Error unsupported(std::string message) { return {Errc::kUnsupportedOperation, std::move(message)}; }

Status collect(const c10::IValue& value, std::string name, std::vector<NamedTensor>& outputs) {
  if (!value.isTensor()) {
    return unsupported("output '" + name + "' is a " + value.tagKind() + "; expected a Tensor");
  }
  outputs.push_back({std::move(name), value.toTensor()});
  return {};
}

}  // namespace

Expected<std::vector<NamedTensor>> outputs_of(const c10::IValue& returned) {
  std::vector<NamedTensor> outputs;
  if (returned.isTuple()) {
    const auto& elements = returned.toTupleRef().elements();
    const auto& schema = returned.type()->expectRef<c10::TupleType>().schema();
    for (std::size_t i = 0; i < elements.size(); ++i) {
      WASMGRAD_CHECK(
          collect(elements[i], schema ? schema->arguments()[i].name() : std::to_string(i), outputs));
    }
  } else if (returned.isList()) {
    std::size_t i = 0;
    for (const c10::IValue& element : returned.toListRef())
      WASMGRAD_CHECK(collect(element, std::to_string(i++), outputs));
  } else if (returned.isGenericDict()) {
    for (const auto& entry : returned.toGenericDict()) {
      if (!entry.key().isString()) return unsupported("the model returns a dictionary without text keys");
      WASMGRAD_CHECK(collect(entry.value(), entry.key().toStringRef(), outputs));
    }
  } else {
    WASMGRAD_CHECK(collect(returned, "0", outputs));
  }
  return outputs;
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
