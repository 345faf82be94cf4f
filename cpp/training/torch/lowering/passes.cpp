// The order of the passes: what names the data and the random draws first, then fusions, then memory layout.
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {

void apply_passes(torch::jit::Graph& graph, std::span<const ProgramInput> inputs,
                  at::ArrayRef<c10::IValue> captured, Rewriting rewriting) {
  torch::jit::Value* seed = graph.insertInput(inputs.size(), "seed")->setType(c10::IntType::get());
  torch::jit::Value* step = graph.insertInput(inputs.size() + 1, "step")->setType(c10::IntType::get());
  const auto aliases = [&] { return Aliases(graph, captured); };  // of the graph as the last pass left it
  const Aliases given = aliases();
  for (std::size_t index = 0; index < inputs.size(); ++index)
    lower_input_transform(graph, graph.inputs()[index], inputs[index].transform, given);
  lower_dropout(graph, seed, step);
  if (rewriting.for_speed) {
    lower_traced_convolution(graph);
    lower_input_batch_norm(graph, aliases());
    lower_max_pool(graph);
  }
  if (rewriting.bf16) lower_precision(graph, aliases());
  if (rewriting.for_speed) {
    lower_channels_last(graph, aliases());
    lower_flatten_dropout(graph, aliases());
  }
  lower_norm_check(graph);
  if (rewriting.for_speed) lower_batch_norm(graph, aliases());
}

}  // namespace wasmgrad::training::lowering
