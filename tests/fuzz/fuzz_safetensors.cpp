// safetensors files: what is read once and written again is read to the same.
#include "fuzz.hpp"
#include "wasmgrad/training/state/safetensors.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;

namespace {

const TensorView* find(const std::vector<TensorView>& tensors, const std::string& name) {
  for (const TensorView& tensor : tensors) {
    if (tensor.name() == name) return &tensor;
  }
  return nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::ExactBytes file(fuzz::as_input(data, size));
  const auto read = read_safetensors(file.bytes());
  if (!read) {
    fuzz::require_sentence(read.error().message);
    return 0;
  }
  for (const TensorView& tensor : read->tensors) fuzz::touch(tensor.data());
  const auto written = write_safetensors(read->tensors, read->metadata);
  if (!written) {
    fuzz::require_sentence(written.error().message);
    return 0;
  }
  const auto again = read_safetensors(*written);
  fuzz::require(static_cast<bool>(again), "what was written is read");
  fuzz::require(again->metadata == read->metadata, "the metadata is the same");
  fuzz::require(again->tensors.size() == read->tensors.size(), "there are as many tensors");
  for (const TensorView& tensor : read->tensors) {
    const TensorView* same = find(again->tensors, tensor.name());
    fuzz::require(same != nullptr, "every tensor is there");
    fuzz::require(same->dtype() == tensor.dtype() && same->shape() == tensor.shape(),
                  "its shape is the same");
    fuzz::require(std::ranges::equal(same->data(), tensor.data()), "its bytes are the same");
  }
  return 0;
}
