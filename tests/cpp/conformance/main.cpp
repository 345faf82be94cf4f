// The conformance suite against the training host itself, without an engine: the suite's arena is the guest's
// memory, and each import is a call of the host function of that name.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <type_traits>
#include <vector>

#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/training/torch/backend.hpp"

using address = std::uint32_t;
extern "C" {
extern unsigned char arena[];
std::uint64_t memory_end();
int run_suite(const char* models_directory);
int run_owner_suite(const char* models_directory);
}

namespace {

using namespace wasmgrad;

constexpr std::string_view kModule = "wasmgrad:training@0.1";

std::vector<HostFunction>& functions() {
  static std::vector<HostFunction> all;
  return all;
}

template <class T>
void append(T argument, std::vector<Value>& values, std::vector<ValueType>& types) {
  Value value{.i64 = 0};
  if constexpr (std::is_same_v<T, double>) {
    value.f64 = argument;
    types.push_back(ValueType::kF64);
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    value.i64 = argument;
    types.push_back(ValueType::kI64);
  } else {
    static_assert(std::is_same_v<T, std::uint32_t>);
    value.i32 = argument;
    types.push_back(ValueType::kI32);
  }
  values.push_back(value);
}

template <class... Arguments>
std::uint32_t call(std::string_view name, Arguments... arguments) {
  std::vector<Value> values;
  std::vector<ValueType> types;
  (append(arguments, values, types), ...);
  for (const HostFunction& function : functions()) {
    if (function.module != kModule || function.name != name) continue;
    if (function.parameters != types || function.results != std::vector{ValueType::kI32}) {
      std::fprintf(stderr, "%s has another signature than the suite expects\n", function.name.c_str());
      std::exit(1);
    }
    Value result{.i64 = 0};
    auto* memory = reinterpret_cast<std::byte*>(arena);
    const Status status = function.call(GuestMemory({memory, memory_end()}), values, {&result, 1});
    if (!status) {
      std::fprintf(stderr, "%s trapped: %s\n", function.name.c_str(), status.error().message.c_str());
      std::exit(1);
    }
    return result.i32;
  }
  std::fprintf(stderr, "the host has no function %s\n", std::string(name).c_str());
  std::exit(1);
}

}  // namespace

#define UNPACK(...) __VA_ARGS__
#define FUNCTION(name, parameters, names) \
  extern "C" std::uint32_t name parameters { return call(#name, UNPACK names); }
#include "functions.h"
#undef FUNCTION

int main(int argc, char** argv) {
  const bool owner = argc == 3 && std::string_view(argv[2]) == "owner";
  if (argc != 2 && !owner) {
    std::fprintf(stderr, "usage: conformance DIRECTORY-OF-MODELS [owner]\n");
    return 2;
  }
  abi::HostConfig config;
  config.backend = &training::torch_backend();
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.path().extension() == ".pt") config.models[entry.path().stem().string()] = entry.path();
  }
  config.max_tensor_bytes = std::uint64_t{64} << 20;  // within the suite's reach
  if (owner) config.overrides.epochs = 2;
  abi::TrainingHost host(config);
  functions() = host.functions();
  return owner ? run_owner_suite(argv[1]) : run_suite(argv[1]);
}
