// What a guest passes to training calls: tensor records of either interface in its memory, and a trainer's
// options. The first byte chooses.
#include "fuzz.hpp"
#include "wasmgrad/abi/compat/arguments.hpp"
#include "wasmgrad/abi/tensor_records.hpp"
#include "wasmgrad/abi/v1/trainer_options.hpp"
#include "wasmgrad/training/data/class_labels.hpp"
#include "wasmgrad/training/options/options.hpp"

using namespace wasmgrad;

namespace {

enum class Kind : std::uint8_t { kTrain, kPathlessTrain, kNamedTensors, kOptions, kCount };

// Returns whether it went well.
template <class Result>
bool checked(const Result& result) {
  if (!result) fuzz::require_sentence(result.error().message);
  return static_cast<bool>(result);
}

// The arguments of `train`, then a guest's whole memory.
void train(fuzz::Reader input, bool has_model_path) {
  abi::TrainArguments arguments;
  arguments.has_model_path = has_model_path;
  arguments.tensor_count = input.number<std::uint8_t>();
  arguments.tensors = input.number<std::uint32_t>();
  arguments.labels = input.number<std::int64_t>();
  const fuzz::ExactBytes memory(input.rest());
  const auto tensors = abi::read_tensors(GuestMemory(memory.bytes()), arguments);
  if (!checked(tensors)) return;
  for (const TensorView& tensor : *tensors) {
    fuzz::touch(tensor.data());
    const auto highest = training::highest_label(tensor, {});
    // A number of classes below 1 is refused before labels are judged.
    if (!checked(highest) || arguments.labels < 1 || *highest < arguments.labels) continue;
    fuzz::require_sentence(training::label_beyond(tensor, {}, arguments.labels).message);
  }
}

// The address and length of a list, then a guest's whole memory.
void named_tensors(fuzz::Reader input) {
  const auto count = input.number<std::uint16_t>();
  const auto address = input.number<std::uint32_t>();
  const fuzz::ExactBytes memory(input.rest());
  const auto tensors = abi::read_named_tensors(GuestMemory(memory.bytes()), address, count, "inputs");
  if (!checked(tensors)) return;
  fuzz::require(tensors->size() == count, "every record is read");
  for (const TensorView& tensor : *tensors) fuzz::touch(tensor.data());
}

void options(fuzz::Reader input) {
  const fuzz::ExactBytes text(input.rest());
  const auto read = abi::v1::read_trainer_options(fuzz::as_text(text.bytes()));
  if (checked(read)) checked(training::validate(*read));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Reader input(fuzz::as_input(data, size));
  switch (static_cast<Kind>(input.number<std::uint8_t>() % static_cast<std::uint8_t>(Kind::kCount))) {
    case Kind::kTrain:
      train(input, true);
      break;
    case Kind::kPathlessTrain:
      train(input, false);
      break;
    case Kind::kNamedTensors:
      named_tensors(input);
      break;
    case Kind::kOptions:
      options(input);
      break;
    case Kind::kCount:
      break;
  }
  return 0;
}
