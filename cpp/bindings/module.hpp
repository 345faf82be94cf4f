// What each file of the bindings adds to the module.
#pragma once

#include <nanobind/nanobind.h>

namespace wasmgrad::bindings {

void bind_dataset(nanobind::module_& module);
void bind_host(nanobind::module_& module);
void bind_run(nanobind::module_& module);
void bind_trainer(nanobind::module_& module);
void bind_vet(nanobind::module_& module);

}  // namespace wasmgrad::bindings
