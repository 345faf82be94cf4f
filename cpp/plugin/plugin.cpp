// The training imports as a plugin of the stock `wasmedge` program: WASMEDGE_PLUGIN_PATH=... wasmedge --dir
// .:. guest.wasm model.pt
//
// The guest's directories and models by name are those of the program's own `--dir` and `--nn-preload`
// options. The owner may set WASMGRAD_EPOCHS, WASMGRAD_BATCHES_PER_EPOCH and, for guests whose import names
// no model, WASMGRAD_DEFAULT_MODEL.
#include <wasmedge/wasmedge.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "wasmgrad/abi/compat/layout.hpp"
#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/abi/v1/layout.hpp"
#include "wasmgrad/plugin/cli_grants.hpp"
#include "wasmgrad/runner/classic_observer.hpp"
#include "wasmgrad/sandbox/host_module.hpp"
#include "wasmgrad/training/torch/backend.hpp"

namespace {

using namespace wasmgrad;

// A variable that is not a whole number would be ignored silently: say so instead.
std::optional<std::int64_t> integer_from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  std::int64_t value = 0;
  const char* end = text + std::strlen(text);
  if (const auto parsed = std::from_chars(text, end, value); parsed.ptr == end && parsed.ec == std::errc())
    return value;
  std::fprintf(stderr, "[wasmgrad] %s is '%s'; expected a whole number; it is ignored\n", name, text);
  return std::nullopt;
}

// One for the process, which runs one guest; made when the program first asks for a module.
abi::TrainingHost& training_host() {
  static runner::ClassicObserver observer(1);
  static abi::TrainingHost host([] {
    abi::HostConfig config;
    config.backend = &training::torch_backend();
    config.grants = Grants(plugin::parse_cli_grants(plugin::own_arguments()));
    config.models = plugin::parse_cli_models(plugin::own_arguments());
    if (const char* model = std::getenv("WASMGRAD_DEFAULT_MODEL"); model != nullptr)
      config.default_model = model;
    config.overrides.epochs = integer_from_environment("WASMGRAD_EPOCHS");
    config.overrides.batches_per_epoch = integer_from_environment("WASMGRAD_BATCHES_PER_EPOCH");
    config.observer = &observer;
    return config;
  }());
  return host;
}

WasmEdge_ModuleInstanceContext* create_module(const WasmEdge_ModuleDescriptor* descriptor) {
  std::vector<HostFunction> functions;
  for (HostFunction& function : training_host().functions()) {
    if (function.module == descriptor->Name) functions.push_back(std::move(function));
  }
  auto module = sandbox::make_host_module(descriptor->Name, std::move(functions), [](const Error& error) {
    // The program itself reports a trap without its reason.
    std::fprintf(stderr, "[wasmgrad] %s\n", error.message.c_str());
  });
  return module ? module->release() : nullptr;
}

WasmEdge_ModuleDescriptor modules[] = {
    {abi::compat::kModule, "training with a model path", create_module},
    {abi::compat::kPathlessModule, "training of the default model", create_module},
    {abi::v1::layout::kModule, "models, datasets and trainers that guests drive", create_module},
};

const WasmEdge_PluginDescriptor descriptor = {
    "wasmgrad",
    "trains TorchScript models for guests",
    WasmEdge_Plugin_CurrentAPIVersion,
    {WASMGRAD_VERSION_MAJOR, WASMGRAD_VERSION_MINOR, WASMGRAD_VERSION_PATCH, 0},
    std::size(modules),
    0,
    modules,
    nullptr,
};

}  // namespace

extern "C" WASMEDGE_CAPI_PLUGIN_EXPORT const WasmEdge_PluginDescriptor* WasmEdge_Plugin_GetDescriptor(void) {
  return &descriptor;
}
