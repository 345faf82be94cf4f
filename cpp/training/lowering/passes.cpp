// The order of the passes: what names the data and the random draws first, then fusions, then memory layout.
#include "wasmgrad/training/lowering/passes.hpp"

namespace wasmgrad::training::lowering {

void apply_passes(torch::jit::Graph& graph, double scale, double offset) {
  graph.insertInput(1, "seed")->setType(c10::IntType::get());
  graph.insertInput(2, "step")->setType(c10::IntType::get());
  lower_input_transform(graph, scale, offset);
  lower_dropout(graph);
  lower_input_batch_norm(graph);
  lower_max_pool(graph);
  lower_layout(graph);
  lower_flatten_dropout(graph);
}

}  // namespace wasmgrad::training::lowering
