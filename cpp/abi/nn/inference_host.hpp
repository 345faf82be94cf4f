// wasi_ephemeral_nn as guests see it: graphs, execution contexts and their handles, on whatever back ends the
// owner has.
//
// Engine-neutral: it sees guest memory and scalars. Every pointer is checked over its full extent, everything
// that the guest passes is copied, and no call traps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/nn/backend.hpp"
#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::abi::nn {

class InferenceHost {
 public:
  /// Called with the sentence of every call that fails: guests of this interface are told a number only.
  using Report = std::function<void(std::string_view sentence)>;

  /// `context` outlives the host. Of the back ends that take some bytes, the first is used.
  InferenceHost(GuestContext& context, std::vector<std::unique_ptr<Backend>> backends, Report report);

  /// The six functions of the definition, and WasmEdge's `load_by_name_with_config`, `unload` and
  /// `finalize_execution_context`. They refer to this host, which must outlive them.
  [[nodiscard]] std::vector<HostFunction> functions();

 private:
  struct LoadedGraph {
    std::shared_ptr<Graph> graph;
    Budget::Charge charge;
  };
  struct Tensor {
    DType dtype = DType::kF32;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
    Budget::Charge charge;
  };
  /// Keeps its graph alive: it goes on working when the graph is unloaded.
  struct Execution {
    std::shared_ptr<LoadedGraph> loaded;
    std::vector<std::optional<Tensor>> inputs;
    std::shared_ptr<GraphState> state = std::make_shared<GraphState>();
    Budget::Charge state_charge;
    std::optional<std::vector<training::Output>> outputs;  ///< of the last compute, if that succeeded
    Budget::Charge outputs_charge;
  };

  Status load(const GuestMemory& memory, std::uint32_t builders, std::uint32_t count, std::uint32_t encoding,
              std::uint32_t target, std::uint32_t graph);
  Status load_by_name(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes,
                      std::uint32_t graph);
  Status load_by_name_with_config(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes,
                                  std::uint32_t config, std::uint32_t config_bytes, std::uint32_t graph);
  Status init_execution_context(const GuestMemory& memory, std::uint32_t graph, std::uint32_t execution);
  Status set_input(const GuestMemory& memory, std::uint32_t execution, std::uint32_t index,
                   std::uint32_t tensor);
  Status compute(const GuestMemory& memory, std::uint32_t execution);
  Status get_output(const GuestMemory& memory, std::uint32_t execution, std::uint32_t index,
                    std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written);
  Status unload(const GuestMemory& memory, std::uint32_t graph);
  Status finalize_execution_context(const GuestMemory& memory, std::uint32_t execution);

  [[nodiscard]] Expected<Backend*> backend_for(Encoding encoding, std::span<const std::byte> part) const;
  Expected<std::uint32_t> add(Encoding encoding, std::span<const std::span<const std::byte>> parts,
                              const std::string& name);

  GuestContext& context_;
  std::vector<std::unique_ptr<Backend>> backends_;
  Report report_;
  LastError last_error_;
  HandleTable<LoadedGraph> graphs_;
  HandleTable<Execution> executions_;
};

}  // namespace wasmgrad::abi::nn
