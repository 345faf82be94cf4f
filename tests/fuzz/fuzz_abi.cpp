// The host's interfaces to guests: sequences of calls, some right and some hostile, over a memory whose
// records are changed between them. The wasm engine's part is left out: what it passes on is any number for
// any argument.
//
// An input is a list of 16-byte instructions. WASMGRAD_FUZZ_MODELS names the folder of models that
// make_seeds.py wrote.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "fuzz.hpp"
#include "guest.hpp"
#include "wasmgrad/abi/nn/inference_host.hpp"
#include "wasmgrad/abi/nn/model_backend.hpp"
#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/training/torch/backend.hpp"

using namespace wasmgrad;
using fuzz::Guest;
using fuzz::Image;
using fuzz::Instruction;
using fuzz::Role;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

constexpr std::size_t kMostInstructions = 40;
constexpr std::uint32_t kRows = 6;

// ---- What lies in the guest's memory

struct Tensor {
  std::vector<std::byte> data;
  std::vector<std::uint32_t> dims;
  std::uint8_t type;  // of v1
  std::string name;
};

template <class T>
Tensor tensor(std::uint8_t type, std::vector<std::uint32_t> dims, std::string name, std::uint32_t modulus) {
  std::size_t count = 1;
  for (const std::uint32_t dim : dims) count *= dim;
  Tensor made{std::vector<std::byte>(count * sizeof(T)), std::move(dims), type, std::move(name)};
  for (std::size_t i = 0; i < count; ++i) {
    const T value = static_cast<T>(i % modulus);
    std::memcpy(made.data.data() + i * sizeof(T), &value, sizeof(T));
  }
  return made;
}

void append(std::vector<std::byte>& out, const auto& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

class Builder {
 public:
  explicit Builder(const std::filesystem::path& models) : models_(models) {}

  Image build() {
    add_tensors();
    add_texts();
    for (const char* name : {"linear.pt", "pair.pt"}) {
      const std::string bytes = read(name);
      const std::uint32_t address = image_.add(Role::kBytes, bytes);
      std::vector<std::byte> builder;
      append(builder, address);
      append(builder, static_cast<std::uint32_t>(bytes.size()));
      image_.add(Role::kBuilders, builder, 1);
    }
    image_.add(Role::kBytes, std::string_view("no archive"));
    // Where exports, checkpoints, parameters and gradients were put may be read back.
    image_.add_result(Role::kBytes);
    return std::move(image_);
  }

 private:
  [[nodiscard]] std::string read(const char* name) const {
    std::ifstream file(models_ / name, std::ios::binary);
    fuzz::require(file.good(), "WASMGRAD_FUZZ_MODELS names the folder that make_seeds.py filled");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void add_tensors() {
    constexpr std::uint8_t kF32 = 1, kU8 = 3, kI32 = 4, kI64 = 5;
    const Tensor rows = tensor<float>(kF32, {kRows, 4}, "input", 5);
    const Tensor bytes = tensor<std::uint8_t>(kU8, {kRows, 4}, "input", 7);
    const Tensor images = tensor<std::uint8_t>(kU8, {kRows, 1, 6, 6}, "x", 200);
    const Tensor classes = tensor<std::int64_t>(kI64, {kRows}, "", 3);
    const Tensor few = tensor<std::int32_t>(kI32, {kRows}, "", 2);
    const Tensor numbers = tensor<float>(kF32, {kRows, 1}, "", 4);
    const Tensor empty = tensor<float>(kF32, {0, 4}, "", 1);
    for (const auto& list : {std::vector{rows}, {bytes}, {images}, {rows, bytes}, {empty}, {}}) {
      add_list(Role::kInputs, list, true);
      add_list(Role::kInputs, list, false);
    }
    for (const auto& list : {std::vector{classes}, {few}, {numbers}, {classes, numbers}, {}}) {
      add_list(Role::kTargets, list, false);
    }
    for (const Tensor& one : {rows, bytes, images}) image_.add(Role::kTensor, record(one));
    add_train_records({rows, classes, rows, classes});
    add_train_records({images, few});
  }

  // wasi-nn's and v1's record.
  std::vector<std::byte> record(const Tensor& one) {
    const std::uint32_t dims = image_.add(Role::kRoom, std::as_bytes(std::span(one.dims)));
    const std::uint32_t data = image_.add(Role::kRoom, one.data);
    std::vector<std::byte> made;
    append(made, dims);
    append(made, static_cast<std::uint32_t>(one.dims.size()));
    append(made, static_cast<std::uint32_t>(one.type));
    append(made, data);
    append(made, static_cast<std::uint32_t>(one.data.size()));
    return made;
  }

  void add_list(Role role, const std::vector<Tensor>& tensors, bool named) {
    std::vector<std::byte> list;
    for (const Tensor& one : tensors) {
      const std::string_view name = named ? std::string_view(one.name) : std::string_view();
      append(list, image_.add(Role::kRoom, name));
      append(list, static_cast<std::uint32_t>(name.size()));
      const auto made = record(one);
      list.insert(list.end(), made.begin(), made.end());
    }
    image_.add(role, list, static_cast<std::uint32_t>(tensors.size()));
  }

  // The compatibility imports' array of records.
  void add_train_records(const std::vector<Tensor>& tensors) {
    constexpr std::uint32_t kTypes[] = {0, 1, 0, 2, 3, 4};  // from v1's
    std::vector<std::byte> array;
    for (const Tensor& one : tensors) {
      std::vector<std::byte> made;
      append(made, image_.add(Role::kRoom, one.data));
      append(made, static_cast<std::uint32_t>(one.data.size()));
      append(made, image_.add(Role::kRoom, std::as_bytes(std::span(one.dims))));
      append(made, static_cast<std::uint32_t>(one.dims.size() * 4));
      append(made, kTypes[one.type]);
      append(made, image_.add(Role::kRoom, one.name));
      append(made, static_cast<std::uint32_t>(one.name.size()));
      append(array, image_.add(Role::kRoom, made));
    }
    image_.add(Role::kTrainRecords, array, static_cast<std::uint32_t>(tensors.size()));
  }

  void add_texts() {
    for (const char* name : {"linear", "regression", "pair", "convolution", "none"})
      image_.add(Role::kName, name);
    for (const char* path : {"linear", "convolution", "../model.pt"}) image_.add(Role::kPath, path);
    for (const char* options :
         {R"({})", R"({"batch_size": 2, "optimizer": {"name": "sgd", "momentum": 0.9}})",
          R"({"loss": "mse", "batch_size": 4, "optimizer": "rmsprop"})",
          R"({"accumulate": 2, "clip_norm": 1, "freeze": ["0.b*"], "batch_size": 1, "schedule": "cosine"})",
          R"({"inputs": {"0": {"scale": 0.1, "offset": 1}}, "early_stopping": {"patience": 1}, "top_k": 2})",
          R"({"lora": ["*:1:2"], "batch_size": 2, "optimizer": "sgd", "loss": "mse"})",
          R"({"loss": "model"})", R"({"loss": {"0": "cross_entropy", "1": {"name": "mse", "weight": 0.5}}})",
          R"({"nonsense": 1})"}) {
      image_.add(Role::kOptions, options);
    }
    for (const char* key :
         {"learning_rate", "weight_decay", "momentum", "beta1", "epsilon", "clip_norm", "x"}) {
      image_.add(Role::kKey, key);
    }
    for (const auto& fractions : {std::vector{0.5, 0.5}, {0.34, 0.33}, {1.0}, {0.0, 1.0, 0.5}}) {
      image_.add(Role::kFractions, std::as_bytes(std::span(fractions)),
                 static_cast<std::uint32_t>(fractions.size()));
    }
  }

  std::filesystem::path models_;
  Image image_;
};

// ---- What functions there are

struct Signature {
  std::vector<Role> roles;
  Role makes = Role::kSmall;
};

const std::map<std::string, Signature>& signatures() {
  using enum Role;
  static const std::map<std::string, Signature> kAll = {
      {"model_load", {{kBytes, kLength, kSmall, kSmall, kNewHandle}, kModel}},
      {"model_load_by_name", {{kName, kLength, kSmall, kNewHandle}, kModel}},
      {"model_export", {{kModel, kSmall, kBuffer, kLength, kWritten}}},
      {"model_close", {{kModel}}},
      {"dataset_create", {{kNewHandle}, kDataset}},
      {"dataset_append", {{kDataset, kInputs, kLength, kTargets, kLength}}},
      {"dataset_split", {{kDataset, kFractions, kLength, kSeed, kNewHandle}, kDataset}},
      {"dataset_size", {{kDataset, kRoom}}},
      {"dataset_close", {{kDataset}}},
      {"trainer_create", {{kModel, kOptions, kLength, kNewHandle}, kTrainer}},
      {"trainer_fit", {{kTrainer, kDataset, kDataset, kEpochs, kRoom}}},
      {"trainer_epoch", {{kTrainer, kDataset, kRoom}}},
      {"trainer_step", {{kTrainer, kInputs, kLength, kTargets, kLength, kRoom}}},
      {"trainer_backward", {{kTrainer, kInputs, kLength, kTargets, kLength, kRoom}}},
      {"trainer_apply", {{kTrainer}}},
      {"trainer_evaluate", {{kTrainer, kDataset, kRoom}}},
      {"trainer_progress", {{kTrainer, kRoom}}},
      {"trainer_predict", {{kTrainer, kInputs, kLength, kRoom}}},
      {"trainer_output", {{kTrainer, kSmall, kRoom, kBuffer, kLength, kWritten}}},
      {"trainer_set", {{kTrainer, kKey, kLength, kNumber}}},
      {"trainer_parameters", {{kTrainer, kBuffer, kLength, kWritten}}},
      {"trainer_set_parameters", {{kTrainer, kBytes, kLength}}},
      {"trainer_gradients", {{kTrainer, kBuffer, kLength, kWritten}}},
      {"trainer_set_gradients", {{kTrainer, kBytes, kLength}}},
      {"trainer_buffers", {{kTrainer, kBuffer, kLength, kWritten}}},
      {"trainer_set_buffers", {{kTrainer, kBytes, kLength}}},
      {"trainer_checkpoint", {{kTrainer, kBuffer, kLength, kWritten}}},
      {"trainer_restore", {{kTrainer, kBytes, kLength}}},
      {"trainer_close", {{kTrainer}}},
      {"process_group", {{kWritten, kWritten}}},
      {"run_config", {{kKey, kLength, kBuffer, kLength, kWritten}}},
      {"run_report", {{kName, kLength, kNumber}}},
      {"last_error", {{kBuffer, kLength, kWritten}}},
      {"load", {{kBuilders, kLength, kSmall, kSmall, kNewHandle}, kGraph}},
      {"load_by_name", {{kName, kLength, kNewHandle}, kGraph}},
      {"load_by_name_with_config", {{kName, kLength, kOptions, kLength, kNewHandle}, kGraph}},
      {"init_execution_context", {{kGraph, kNewHandle}, kExecution}},
      {"set_input", {{kExecution, kSmall, kTensor}}},
      {"compute", {{kExecution}}},
      {"get_output", {{kExecution, kSmall, kBuffer, kLength, kWritten}}},
      {"unload", {{kGraph}}},
      {"finalize_execution_context", {{kExecution}}},
      {"train",
       {{kTrainRecords, kLength, kNumber, kSmall, kNumber, kEpochs, kNumber, kSmall, kSmall, kPath,
         kLength}}},
  };
  return kAll;
}

std::vector<fuzz::Function> describe(const std::vector<HostFunction>& functions) {
  std::vector<fuzz::Function> described;
  for (const HostFunction& function : functions) {
    const auto found = signatures().find(function.name);
    fuzz::require(found != signatures().end(), "the roles of every function are known: " + function.name);
    std::vector<Role> roles = found->second.roles;
    fuzz::require(function.parameters.size() <= roles.size(), "there are roles for every parameter");
    roles.resize(function.parameters.size());
    described.push_back({&function, std::move(roles), found->second.makes, function.results.empty()});
  }
  return described;
}

struct Setting {
  std::filesystem::path models;
  std::optional<Image> image;
};

Setting& setting() {
  static Setting made;
  return made;
}

abi::HostConfig host_config() {
  abi::HostConfig config;
  config.backend = &training::torch_backend();
  for (const char* name : {"linear", "regression", "pair", "convolution"}) {
    config.models[name] = setting().models / (std::string(name) + ".pt");
  }
  config.default_model = setting().models / "linear.pt";
  config.overrides.threads = 1;
  config.max_tensor_bytes = std::uint64_t{1} << 20;
  config.max_model_file_bytes = std::uint64_t{1} << 20;
  config.max_handles = 12;
  config.guest_config = {{"learning_rate", "0.1"}, {"x", ""}};
  return config;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  const char* models = std::getenv("WASMGRAD_FUZZ_MODELS");
  fuzz::require(models != nullptr, "WASMGRAD_FUZZ_MODELS is set; run.py sets it");
  setting().models = models;
  setting().image = Builder(models).build();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  abi::TrainingHost host(host_config());
  std::vector<std::unique_ptr<abi::nn::Backend>> backends;
  backends.push_back(std::make_unique<abi::nn::ModelBackend>(training::torch_backend()));
  abi::nn::InferenceHost inference(host.context(), std::move(backends),
                                   [](std::string_view sentence) { fuzz::require_sentence(sentence); });
  std::vector<HostFunction> functions = host.functions();
  std::ranges::move(inference.functions(), std::back_inserter(functions));
  const std::vector<fuzz::Function> described = describe(functions);
  Guest guest(*setting().image, described);
  for (std::size_t i = 0; i < std::min(size / sizeof(Instruction), kMostInstructions); ++i) {
    Instruction instruction;
    std::memcpy(&instruction, data + i * sizeof(Instruction), sizeof(Instruction));
    guest.step(instruction);
  }
  if (const Status status = host.finish(); !status) fuzz::require_sentence(status.error().message);
  return 0;
}

// Inserts, repeats, removes, swaps and changes whole instructions; bytes are left to libFuzzer half of the
// time.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  constexpr std::size_t kBytes = sizeof(Instruction);
  std::minstd_rand random(seed);
  std::size_t count = size / kBytes;
  const auto any = [&](std::size_t limit) { return random() % std::max<std::size_t>(limit, 1); };
  switch (any(6)) {
    case 0:  // insert one
      if ((count + 1) * kBytes <= max_size) {
        std::uint8_t* const place = data + any(count + 1) * kBytes;
        std::memmove(place + kBytes, place, static_cast<std::size_t>(data + count * kBytes - place));
        for (std::size_t i = 0; i < kBytes; ++i) place[i] = static_cast<std::uint8_t>(random());
        return (count + 1) * kBytes;
      }
      break;
    case 1:  // remove one
      if (count > 1) {
        std::uint8_t* const place = data + any(count) * kBytes;
        std::memmove(place, place + kBytes, static_cast<std::size_t>(data + count * kBytes - place) - kBytes);
        return (count - 1) * kBytes;
      }
      break;
    case 2:  // swap two
      if (count > 1) {
        std::uint8_t* const one = data + any(count) * kBytes;
        std::uint8_t* const other = data + any(count) * kBytes;
        if (one != other) std::swap_ranges(one, one + kBytes, other);
        return count * kBytes;
      }
      break;
    default:
      break;
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
