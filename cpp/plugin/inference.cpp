// wasi_ephemeral_nn for guests of the stock `wasmedge` program. Its models by name are those of the program's
// `--nn-preload` options.
#include "wasmgrad/plugin/inference.hpp"

#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "wasmgrad/abi/nn/inference_host.hpp"
#include "wasmgrad/abi/nn/model_backend.hpp"
#include "wasmgrad/plugin/cli_grants.hpp"
#include "wasmgrad/runner/graph_backend.hpp"
#include "wasmgrad/sandbox/host_module.hpp"
#include "wasmgrad/training/torch/backend.hpp"

namespace {

using namespace wasmgrad;

void report(std::string_view sentence) {
  std::fprintf(stderr, "[wasmgrad] %.*s\n", static_cast<int>(sentence.size()), sentence.data());
}

// One for the process, which runs one guest; made when the program first asks for the module.
abi::nn::InferenceHost& inference_host() {
  static abi::GuestContext context([] {
    abi::HostConfig config;
    config.models = plugin::parse_cli_models(plugin::own_arguments());
    return config;
  }());
  static abi::nn::InferenceHost host(
      context,
      [] {
        std::vector<std::unique_ptr<abi::nn::Backend>> backends;
        backends.push_back(std::make_unique<abi::nn::ModelBackend>(training::torch_backend()));
        backends.push_back(std::make_unique<runner::GraphBackend>(std::filesystem::path()));
        return backends;
      }(),
      report);
  return host;
}

}  // namespace

extern "C" WasmEdge_ModuleInstanceContext* wasmgrad_create_wasi_nn(void) {
  auto module = sandbox::make_host_module(std::string(abi::nn::kModule), inference_host().functions(),
                                          [](const Error& error) { report(error.message); });
  return module ? module->release() : nullptr;
}
