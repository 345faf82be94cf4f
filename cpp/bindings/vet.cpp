// What is to be known of a model's file before it is used: whether it may be loaded at all, for Python code
// that hands it to torch, and what training would warn of.
#include "wasmgrad/training/torch/vet/vet.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/module.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

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

std::vector<std::string> model_warnings(const nb::bytes& archive) {
  const std::span bytes(static_cast<const std::byte*>(archive.data()), archive.size());
  const nb::gil_scoped_release unlocked;
  return value_of(training::TorchModel::load(bytes, "model", training::kOwnModelBytes)).warnings();
}

nb::bytes torchscript_for_inference(const nb::bytes& archive) {
  const std::span bytes(static_cast<const std::byte*>(archive.data()), archive.size());
  std::vector<std::byte> written;
  {
    const nb::gil_scoped_release unlocked;
    const training::TorchModel model = value_of(
        training::TorchModel::load(bytes, "model", training::kOwnModelBytes,
                                   training::ModelEncoding::kAutodetect, training::ModelUse::kInference));
    written = value_of(model.save());
  }
  return nb::bytes(written.data(), written.size());
}

}  // namespace

void bind_vet(nb::module_& module) {
  module.def(
      "vet_torchscript", &vet_torchscript, "archive"_a,
      "Raises unless loading the TorchScript archive is harmless: what is not on the allow-list is named.");
  module.def("model_warnings", &model_warnings, "archive"_a,
             "What of a model training cannot follow, a sentence each. Raises when it cannot be trained.");
  module.def(
      "torchscript_for_inference", &torchscript_for_inference, "archive"_a,
      "A model, TorchScript or a torch.export program, in evaluation mode as a TorchScript archive that "
      "is safe to load and to run: memory that it asks for holds zeros. The forward of a program returns "
      "a tuple of all tensors, whatever the program packs them in. Raises when the file is damaged, or "
      "holds what is not on the allow-list.");
}

}  // namespace wasmgrad::bindings
