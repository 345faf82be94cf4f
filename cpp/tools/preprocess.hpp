// Pictures to input tensors, and scores to classes. It must not know where either comes from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/graph/metadata.hpp"
#include "wasmgrad/tools/picture.hpp"

namespace wasmgrad::tools {

/// The picture in another size. Where it shrinks, the filter covers all pixels that fall into one.
Picture resize(const Picture& picture, std::uint32_t width, std::uint32_t height,
               graph::Interpolation filter);

/// What is usual for ImageNet, for a tensor of shape [1, 3, height, width] or [1, height, width, 3]. Errors:
/// kInvalidArgument for another shape.
Expected<graph::Preprocess> imagenet_preprocess(const graph::TensorInfo& tensor);

/// The picture as the values of `tensor`. Errors: kUnsupportedOperation when the tensor is not of float32,
/// kInvalidArgument when the preprocessing makes another shape.
Expected<std::vector<float>> to_tensor(const Picture& picture, const graph::Preprocess& how,
                                       const graph::TensorInfo& tensor);

struct Class {
  std::size_t number = 0;
  double probability = 0;
};

/// The `count` most probable classes, best first. Scores that are no probabilities yet (from 0, sum 1) go
/// through softmax.
std::vector<Class> best_classes(std::span<const float> scores, std::size_t count);

}  // namespace wasmgrad::tools
