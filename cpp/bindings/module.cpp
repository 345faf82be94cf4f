// The module wasmgrad._core: the C++ core for Python. Users see it through the package, never directly.
#include "wasmgrad/bindings/module.hpp"

#include "wasmgrad/bindings/errors.hpp"

NB_MODULE(_core, module) {
  module.doc() = "The native core of wasmgrad. Use it through the package.";
  wasmgrad::bindings::register_errors();
  wasmgrad::bindings::bind_dataset(module);
  wasmgrad::bindings::bind_trainer(module);
  wasmgrad::bindings::bind_host(module);
  wasmgrad::bindings::bind_run(module);
  wasmgrad::bindings::bind_vet(module);
}
