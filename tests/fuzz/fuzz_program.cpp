// torch.export programs, as the records of their archives: they are refused, or become a model that can be
// saved.
#include "fuzz.hpp"
#include "make_archive.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

using namespace wasmgrad;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kMaxBytes = 1 << 20;
  const std::string archive = fuzz::make_archive(fuzz::Reader(fuzz::as_input(data, size)));
  const fuzz::ExactBytes bytes(std::as_bytes(std::span(archive)));
  const auto model =
      training::TorchModel::load(bytes.bytes(), "fuzzed", kMaxBytes, training::ModelEncoding::kTorchExport);
  if (!model) {
    fuzz::require_sentence(model.error().message);
    return 0;
  }
  if (const auto saved = model->save(); !saved) fuzz::require_sentence(saved.error().message);
  return 0;
}
