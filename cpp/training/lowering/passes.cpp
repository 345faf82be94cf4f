// The order of the passes: what names the data and the random draws first, then fusions, then memory layout.
#include "wasmgrad/training/lowering/passes.hpp"

namespace wasmgrad::training::lowering {

void apply_passes(torch::jit::Graph& graph, std::span<const ProgramInput> inputs) {
  torch::jit::Value* seed = graph.insertInput(inputs.size(), "seed")->setType(c10::IntType::get());
  torch::jit::Value* step = graph.insertInput(inputs.size() + 1, "step")->setType(c10::IntType::get());
  for (std::size_t index = 0; index < inputs.size(); ++index)
    lower_input_transform(graph, graph.inputs()[index], inputs[index].transform);
  lower_dropout(graph, seed, step);
  lower_input_batch_norm(graph);
  lower_max_pool(graph);
  lower_layout(graph);
  lower_flatten_dropout(graph);
  lower_norm_check(graph);
}

}  // namespace wasmgrad::training::lowering
