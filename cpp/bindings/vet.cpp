// wasmgrad._core.vet_torchscript: whether an archive may be loaded, for Python code that hands it to torch.
#include "wasmgrad/training/vet/vet.hpp"

#include <nanobind/nanobind.h>

#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/module.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

void vet_torchscript(const nb::bytes& archive) {
  const std::span bytes(static_cast<const std::byte*>(archive.data()), archive.size());
  Status status = Status();
  {
    const nb::gil_scoped_release unlocked;
    status = training::vet_archive(bytes);
  }
  check(status);
}

}  // namespace

void bind_vet(nb::module_& module) {
  module.def(
      "vet_torchscript", &vet_torchscript, "archive"_a,
      "Raises unless loading the TorchScript archive is harmless: what is not on the allow-list is named.");
}

}  // namespace wasmgrad::bindings
