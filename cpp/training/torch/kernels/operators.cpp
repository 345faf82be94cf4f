// Registration with TorchScript. Explicit, because a static library's own initialisers may be dropped by the
// linker.
#include "wasmgrad/training/torch/kernels/operators.hpp"

#include <torch/csrc/jit/runtime/operator.h>

#include <mutex>

namespace wasmgrad::training::kernels {
namespace {

using c10::IValue;
using torch::jit::Stack;

/// The values of an operator's arguments, taken off the stack; the result is pushed by finish().
class Arguments {
 public:
  Arguments(Stack& stack, std::size_t count) : stack_(stack), first_(stack.size() - count) {}
  [[nodiscard]] const IValue& operator[](std::size_t index) const { return stack_[first_ + index]; }
  void finish(at::Tensor result) {
    stack_.resize(first_);
    stack_.emplace_back(std::move(result));
  }

 private:
  Stack& stack_;
  std::size_t first_;
};

DropoutKey dropout_key(const IValue& seed, const IValue& step, const IValue& site) {
  return {static_cast<std::uint64_t>(seed.toInt()), static_cast<std::uint64_t>(step.toInt()),
          static_cast<std::uint16_t>(site.toInt())};
}

void run_to_float(Stack& stack) {
  Arguments in(stack, 3);
  in.finish(to_float(in[0].toTensor(), in[1].toDouble(), in[2].toDouble()));
}

void run_to_bf16(Stack& stack) {
  Arguments in(stack, 1);
  in.finish(to_bf16(in[0].toTensor()));
}

void run_all_to_bf16(Stack& stack) {
  c10::List<at::Tensor> narrow;
  for (const at::Tensor& tensor : stack.back().toTensorVector()) narrow.push_back(to_bf16(tensor));
  stack.back() = std::move(narrow);
}

void run_to_f32(Stack& stack) {
  Arguments in(stack, 1);
  in.finish(to_f32(in[0].toTensor()));
}

void run_dropout(Stack& stack) {
  Arguments in(stack, 5);
  in.finish(dropout(in[0].toTensor(), in[1].toDouble(), dropout_key(in[2], in[3], in[4])));
}

void run_flatten_dropout(Stack& stack) {
  Arguments in(stack, 5);
  in.finish(flatten_dropout(in[0].toTensor(), in[1].toDouble(), dropout_key(in[2], in[3], in[4])));
}

void run_max_pool2x2(Stack& stack) {
  Arguments in(stack, 2);
  in.finish(max_pool2x2(in[0].toTensor(), in[1].toBool()));
}

void run_channels_last(Stack& stack) {
  Arguments in(stack, 1);
  in.finish(channels_last(in[0].toTensor()));
}

void run_check_batch_norm(Stack& stack) {
  Arguments in(stack, 2);
  if (in[1].toBool()) check_batch_norm(in[0].toTensor());
  in.finish(in[0].toTensor());
}

void run_check_instance_norm(Stack& stack) {
  Arguments in(stack, 2);
  if (in[1].toBool()) check_instance_norm(in[0].toTensor());
  in.finish(in[0].toTensor());
}

void run_strided_conv2d(Stack& stack) {
  Arguments in(stack, 7);
  const Conv2d conv{in[1].toTensor(), in[2].toOptional<at::Tensor>(), in[3].toIntVector(),
                    in[4].toIntVector(), in[5].toIntVector()};
  in.finish(strided_conv2d(in[0].toTensor(), conv, in[6].toInt()));
}

void run_batch_norm(Stack& stack) {
  Arguments in(stack, 10);
  const auto tensor = [&](std::size_t index) {
    return in[index].isNone() ? at::Tensor() : in[index].toTensor();
  };
  const BatchNormParts norm{tensor(1), tensor(2), tensor(3), tensor(4), in[5].toDouble(), in[6].toDouble()};
  in.finish(batch_norm(in[0].toTensor(), norm, {tensor(7), in[8].toBool(), in[9].toDouble()}));
}

void run_input_norm_conv2d(Stack& stack) {
  Arguments in(stack, 14);
  const InputNorm norm{in[1].toDouble(), in[2].toDouble(), in[3].toTensor(), in[4].toTensor(),
                       in[5].toTensor(), in[6].toTensor(), in[7].toDouble(), in[8].toDouble()};
  const Conv2d conv{in[9].toTensor(), in[10].toOptional<at::Tensor>(), in[11].toIntVector(),
                    in[12].toIntVector(), in[13].toIntVector()};
  in.finish(input_norm_conv2d(in[0].toTensor(), norm, conv));
}

}  // namespace

void register_operators() {
  static std::once_flag once;
  std::call_once(once, [] {
    using torch::jit::Operator;
    constexpr auto kFromSchema = c10::AliasAnalysisKind::FROM_SCHEMA;
    torch::jit::registerOperator(Operator(
        "wasmgrad::to_float(Tensor batch, float scale, float offset) -> Tensor", run_to_float, kFromSchema));
    torch::jit::registerOperator(Operator("wasmgrad::to_bf16(Tensor x) -> Tensor", run_to_bf16, kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::all_to_bf16(Tensor[] x) -> Tensor[]", run_all_to_bf16, kFromSchema));
    torch::jit::registerOperator(Operator("wasmgrad::to_f32(Tensor x) -> Tensor", run_to_f32, kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::dropout(Tensor x, float p, int seed, int step, int site) -> Tensor", run_dropout,
                 kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::flatten_dropout(Tensor x, float p, int seed, int step, int site) -> Tensor",
                 run_flatten_dropout, kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::max_pool2x2(Tensor x, bool relu) -> Tensor", run_max_pool2x2, kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::channels_last(Tensor x) -> Tensor", run_channels_last, kFromSchema));
    torch::jit::registerOperator(Operator(
        "wasmgrad::strided_conv2d(Tensor x, Tensor weight, Tensor? bias, int[2] stride, int[2] padding, "
        "int[2] dilation, int groups) -> Tensor",
        run_strided_conv2d, kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::check_batch_norm(Tensor(a) x, bool training) -> Tensor(a)", run_check_batch_norm,
                 kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::check_instance_norm(Tensor(a) x, bool training) -> Tensor(a)",
                 run_check_instance_norm, kFromSchema));
    torch::jit::registerOperator(
        Operator("wasmgrad::batch_norm(Tensor x, Tensor? weight, Tensor? bias, Tensor(a!)? running_mean, "
                 "Tensor(b!)? running_var, float momentum, float eps, Tensor? residual, bool clamped, float "
                 "upper) -> Tensor",
                 run_batch_norm, kFromSchema));
    torch::jit::registerOperator(Operator(
        "wasmgrad::input_norm_conv2d(Tensor batch, float scale, float offset, Tensor gamma, Tensor beta, "
        "Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float eps, Tensor weight, "
        "Tensor? bias, int[] stride, int[] padding, int[] dilation) -> Tensor",
        run_input_norm_conv2d, kFromSchema));
  });
}

}  // namespace wasmgrad::training::kernels
