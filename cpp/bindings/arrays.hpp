// NumPy arrays as tensor views, without a copy.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>

#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::bindings {

/// What the functions of the module take: read-only, in host memory, row-major (NumPy copies what is not).
using Array = nanobind::ndarray<nanobind::ro, nanobind::device::cpu, nanobind::c_contig>;

/// A view of `array`, which must outlive it. Raises InvalidArgument for an element type that the host does
/// not take.
TensorView view_of(const Array& array, std::string name);

}  // namespace wasmgrad::bindings
