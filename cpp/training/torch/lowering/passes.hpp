// The rewrites of a specialised graph, in the order they are applied. Each keeps the mathematics; none
// changes a parameter.
//
// Graph inputs: those of the program, the step's random seed and number, then the module's tensors. Torch
// header.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <span>

#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/model/program.hpp"

namespace wasmgrad::training::lowering {

/// Reads an input as its transform says, x.to(f32) * scale + offset as `wasmgrad::to_float`. Questions about
/// its shape go to the input itself.
void lower_input_transform(torch::jit::Graph& graph, torch::jit::Value* input, InputTransform transform,
                           const Aliases& aliases);

/// aten::dropout becomes the counter-based `wasmgrad::dropout`, each with a number of its own; `seed` and
/// `step` are graph inputs. Returns how many.
int lower_dropout(torch::jit::Graph& graph, torch::jit::Value* seed, torch::jit::Value* step);

/// aten::_convolution over two axes becomes aten::conv2d or aten::conv_transpose2d. Returns how many.
int lower_traced_convolution(torch::jit::Graph& graph);

/// Training-mode batch norm of an input, used by one convolution only, becomes
/// `wasmgrad::input_norm_conv2d`. Returns how many.
int lower_input_batch_norm(torch::jit::Graph& graph, const Aliases& aliases);

/// 2x2 max pooling after a convolution, with the ReLU between them if there is one, becomes
/// `wasmgrad::max_pool2x2`. Returns how many.
int lower_max_pool(torch::jit::Graph& graph);

/// Convolutions run channels-last, and so does what lies between them; anything that could notice gets
/// row-major tensors, and all users the same one where one of them writes to it. Returns how many
/// convolutions.
int lower_channels_last(torch::jit::Graph& graph, const Aliases& aliases);

/// flatten(1) of an image followed by dropout becomes `wasmgrad::flatten_dropout`. Returns how many.
int lower_flatten_dropout(torch::jit::Graph& graph, const Aliases& aliases);

/// Training-mode batch norm becomes `wasmgrad::batch_norm`, which sums channels-last images exactly, with the
/// sum and the ReLU or ReLU6 that follow it where nothing else sees what is between. Returns how many.
int lower_batch_norm(torch::jit::Graph& graph, const Aliases& aliases);

/// Training-mode batch norm and instance norm of a single value a channel throw, as PyTorch's modules do.
/// Returns how many are checked.
int lower_norm_check(torch::jit::Graph& graph);

/// The factors of products and convolutions become bfloat16, and what is computed element by element of the
/// results stays so; all else is f32. Returns how many.
int lower_precision(torch::jit::Graph& graph, const Aliases& aliases);

/// Adds seed and step behind the inputs of a graph specialised for them, and applies those of the above that
/// `rewriting` asks for, and those that give dropout and data their meaning, in the order they need.
/// `captured`: the values of the inputs behind those.
void apply_passes(torch::jit::Graph& graph, std::span<const ProgramInput> inputs,
                  at::ArrayRef<c10::IValue> captured, Rewriting rewriting = {});

}  // namespace wasmgrad::training::lowering
