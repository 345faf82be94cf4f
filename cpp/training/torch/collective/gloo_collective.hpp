// A Collective on libtorch's c10d with Gloo: TCP between processes on any hosts, neither encrypted nor
// authenticated. Public header without torch.
#pragma once

#include <memory>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/collective/collective.hpp"
#include "wasmgrad/training/collective/rendezvous.hpp"

namespace wasmgrad::training {

/// Waits until all processes have come, for `where.timeout` at most. Each process makes its groups in the
/// same order. Errors: kUnsupportedOperation with another version of torch than the one that this was built
/// and tested with; kRuntimeError when the others did not come or no network interface leads to them.
Expected<std::unique_ptr<Collective>> connect(const Rendezvous& where);

}  // namespace wasmgrad::training
