// NumPy arrays as tensor views, and outputs as NumPy arrays, without a copy.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/loop/trainer.hpp"

namespace wasmgrad::bindings {

/// What the functions of the module take: read-only, in host memory, row-major (NumPy copies what is not).
using Array = nanobind::ndarray<nanobind::ro, nanobind::device::cpu, nanobind::c_contig>;

/// Arrays with their names, which may be empty.
using NamedArrays = std::vector<std::pair<std::string, Array>>;

/// Views of `arrays`, which must outlive them. Raises InvalidArgument for an element type that the host does
/// not take; `what` names what has no name in the error.
std::vector<TensorView> views_of(const NamedArrays& arrays, const std::string& what);

/// NumPy arrays that own the outputs' memory, by the outputs' names; bf16, which NumPy lacks, as f32.
nanobind::dict arrays_of(std::vector<training::Output> outputs);

}  // namespace wasmgrad::bindings
