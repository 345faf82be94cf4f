// The rewrites of a specialised graph, in the order they are applied. Each keeps the mathematics; none
// changes a parameter.
//
// Graph inputs: 0 the batch, 1 and 2 the step's random seed and number, then the module's tensors. Torch
// header.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

namespace wasmgrad::training::lowering {

/// Reads the batch as x.to(f32) * scale + offset: `wasmgrad::to_float`. Questions about its shape go to the
/// batch itself.
void lower_input_transform(torch::jit::Graph& graph, double scale, double offset);

/// aten::dropout becomes the counter-based `wasmgrad::dropout`, each with a number of its own. Returns how
/// many.
int lower_dropout(torch::jit::Graph& graph);

/// Training-mode batch norm of the batch, used by one convolution only, becomes
/// `wasmgrad::input_norm_conv2d`. Returns how many.
int lower_input_batch_norm(torch::jit::Graph& graph);

/// 2x2 max pooling after a convolution, with the ReLU between them if there is one, becomes
/// `wasmgrad::max_pool2x2`. Returns how many.
int lower_max_pool(torch::jit::Graph& graph);

/// Convolutions run channels-last, and so does what lies between them; anything that could notice gets
/// row-major tensors. Returns how many convolutions.
int lower_layout(torch::jit::Graph& graph);

/// flatten(1) of an image followed by dropout becomes `wasmgrad::flatten_dropout`. Returns how many.
int lower_flatten_dropout(torch::jit::Graph& graph);

/// Adds the inputs 1 and 2 to a specialised graph and applies all of the above, in the order they need.
void apply_passes(torch::jit::Graph& graph, double scale, double offset);

}  // namespace wasmgrad::training::lowering
