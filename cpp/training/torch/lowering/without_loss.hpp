// A graph that predicts: without the loss that the model computes itself, and without what only the loss
// needs. Torch header.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace wasmgrad::training::lowering {

/// Takes the entry `loss` out of the dict or named tuple that the graph returns, and the calls whose results
/// went nowhere else, with all checks inside them. Follows what the graph returns into the calls that make
/// it. Returns whether there was such an entry.
bool cut_loss(torch::jit::Graph& graph);

/// Removes checks, warnings and writes that depend on `missing`, which are inputs of the graph that nobody
/// gives. False when what the graph returns depends on them: it is unchanged then.
bool cut_dependents(std::shared_ptr<torch::jit::Graph>& graph,
                    const std::vector<torch::jit::Value*>& missing);

/// Whether what a graph returns needs some of its inputs, given by their positions.
bool returns_need(const std::shared_ptr<torch::jit::Graph>& graph, const std::vector<std::size_t>& inputs);

}  // namespace wasmgrad::training::lowering
