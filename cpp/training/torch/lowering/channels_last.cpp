// Row-major convolutions spend most of their time in reorders and oneDNN's slower kernels, channels-last ones
// do not.
//
// Only operators known not to care about strides may see a channels-last tensor; every other user gets a
// row-major copy. Where somebody writes to it, all users get the same one.
#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_set>

#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

/// Element-wise operators, pools and their like: channels-last in, channels-last out, whatever the memory
/// order of their other arguments.
bool keeps_layout(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::relu",
                                                "aten::relu_",
                                                "aten::relu6",
                                                "aten::relu6_",
                                                "aten::leaky_relu",
                                                "aten::leaky_relu_",
                                                "aten::elu",
                                                "aten::elu_",
                                                "aten::gelu",
                                                "aten::silu",
                                                "aten::silu_",
                                                "aten::sigmoid",
                                                "aten::sigmoid_",
                                                "aten::tanh",
                                                "aten::hardtanh",
                                                "aten::hardtanh_",
                                                "aten::hardswish",
                                                "aten::hardswish_",
                                                "aten::hardsigmoid",
                                                "aten::hardsigmoid_",
                                                "aten::clamp",
                                                "aten::clamp_",
                                                "aten::add",
                                                "aten::add_",
                                                "aten::sub",
                                                "aten::mul",
                                                "aten::mul_",
                                                "aten::div",
                                                "aten::cat",
                                                "aten::mean",
                                                "aten::max_pool2d",
                                                "aten::avg_pool2d",
                                                "aten::adaptive_avg_pool2d",
                                                "aten::upsample_nearest2d",
                                                "aten::upsample_bilinear2d",
                                                "aten::constant_pad_nd",
                                                "aten::conv_transpose2d",
                                                "aten::batch_norm",
                                                "wasmgrad::dropout",
                                                "wasmgrad::to_bf16",
                                                "wasmgrad::to_f32",
                                                "wasmgrad::max_pool2x2"};
  return kinds.count(node->kind().toQualString()) != 0;
}

/// Operators that read a channels-last tensor correctly and give a row-major result or none.
bool reads_any_layout(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::flatten", "aten::reshape",
                                                "aten::dim",     "aten::size",
                                                "aten::numel",   "wasmgrad::flatten_dropout"};
  return kinds.count(node->kind().toQualString()) != 0;
}

bool is_convolution(const Node* node) { return node->kind() == symbol("aten::conv2d"); }

/// A list of what is put together next to it, by nothing else.
bool is_list_for_cat(const Node* node) {
  return node->kind() == c10::prim::ListConstruct && node->output()->uses().size() == 1 &&
         node->output()->uses()[0].user->kind() == symbol("aten::cat");
}

/// Convolutions that go over their own operator: oneDNN's weight gradient for strided ones without padding,
/// as the 1x1 ones on a ResNet's shortcuts, crashes on channels-last images of eight channels in odd batches
/// (torch 2.13, two threads or more).
bool is_strided_without_padding(const Node* conv) {
  const auto all = [conv](std::size_t index, std::int64_t wanted) {
    const auto value = constant_input(conv, index);
    if (!value || !value->isIntList()) return false;
    const std::vector<std::int64_t> list = value->toIntVector();
    return std::all_of(list.begin(), list.end(), [wanted](std::int64_t one) { return one == wanted; });
  };
  return !all(3, 1) && all(4, 0);
}

class ChannelsLast {
 public:
  ChannelsLast(Graph& graph, const Aliases& aliases) : graph_(graph), aliases_(aliases) {}

  int run() {
    visit(graph_.block());
    return convolutions_;
  }

 private:
  void visit(Block* block) {
    for (auto it = block->nodes().begin(); it != block->nodes().end();) {
      Node* node = *it++;
      for (Block* inner : node->blocks()) visit(inner);
      visit(node);
    }
    restore_inputs(block->return_node());
  }

  void visit(Node* node) {
    if (is_convolution(node)) {
      if (channels_last_.count(node->input(0)) == 0)
        node->replaceInput(0, insert_tensor_node(node, "wasmgrad::channels_last", {node->input(0)}));
      give_channels_last(is_strided_without_padding(node) ? over_own_operator(node) : node);
      ++convolutions_;
    } else if (node->kind() == symbol("wasmgrad::input_norm_conv2d") ||
               (keeps_layout(node) && takes_channels_last(node))) {
      give_channels_last(node);
    } else if (!reads_any_layout(node) && !is_list_for_cat(node)) {
      restore_inputs(node);
    }
  }

  static Node* over_own_operator(Node* conv) {
    Value* result = insert_tensor_node(conv, "wasmgrad::strided_conv2d", conv->inputs());
    replace_node(conv, result);
    return result->node();
  }

  [[nodiscard]] bool takes_channels_last(const Node* node) const {
    return std::any_of(node->inputs().begin(), node->inputs().end(), [this](const Value* value) {
      return channels_last_.count(value) != 0 ||
             (is_list_for_cat(value->node()) && takes_channels_last(value->node()));
    });
  }

  /// A copy for each user would take a write away from the others.
  void give_channels_last(Node* node) {
    Value* value = node->output();
    if (!aliases_.written(value)) {
      channels_last_.insert(value);
      return;
    }
    Value* copy = insert_row_major(node->next(), value);
    value->replaceAllUsesAfterNodeWith(copy->node(), copy);
  }

  void restore_inputs(Node* node) {
    for (std::size_t index = 0; index < node->inputs().size(); ++index) {
      Value* value = node->input(index);
      if (channels_last_.count(value) == 0) continue;
      node->replaceInput(index, insert_row_major(node, value));
    }
  }

  static Value* insert_row_major(Node* place, Value* value) {
    Value* format = insert_constant_before(place, static_cast<std::int64_t>(at::MemoryFormat::Contiguous));
    return insert_tensor_node(place, "aten::contiguous", {value, format});
  }

  Graph& graph_;
  const Aliases& aliases_;
  std::unordered_set<const Value*> channels_last_;
  int convolutions_ = 0;
};

}  // namespace

int lower_channels_last(Graph& graph, const Aliases& aliases) { return ChannelsLast(graph, aliases).run(); }

}  // namespace wasmgrad::training::lowering
