// The training interface for guests that are components: the WIT package of the guest SDK through its
// canonical ABI, over the core functions. It must not know an engine.
#pragma once

#include <span>

#include "wasmgrad/base/component_function.hpp"
#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::abi::component {

/// `functions` holds those of wasmgrad:training@0.1; others are passed over. Arguments are read where they
/// lie in guest memory, lists as well; results are stored with the guest's allocator. An error keeps its
/// number and its sentence.
ComponentImports training_imports(std::span<const HostFunction> functions);

}  // namespace wasmgrad::abi::component
