#include "wasmgrad/sandbox/host_module.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "wasmgrad/sandbox/values.hpp"

namespace wasmgrad::sandbox {

namespace {

// Wide enough for every host function; it keeps the call path free of allocation.
constexpr std::size_t kMaxParameters = 16;
constexpr std::size_t kMaxResults = 4;

// What the module instance owns. The engine holds addresses of the bindings, which therefore do not move.
struct HostData {
  struct Binding {
    HostFunction function;
    const std::function<void(const Error&)>* on_error;
  };
  std::function<void(const Error&)> on_error;
  std::vector<Binding> bindings;
};

WasmEdge_Result call_host(void* data, const WasmEdge_CallingFrameContext* frame,
                          const WasmEdge_Value* parameters, WasmEdge_Value* results) {
  const auto& binding = *static_cast<const HostData::Binding*>(data);
  const HostFunction& function = binding.function;
  std::array<Value, kMaxParameters> arguments;
  for (std::size_t i = 0; i < function.parameters.size(); ++i) {
    arguments[i] = from_engine(parameters[i], function.parameters[i]);
  }
  std::array<Value, kMaxResults> values;
  const Status status = function.call(GuestMemory(bytes_of(WasmEdge_CallingFrameGetMemoryInstance(frame, 0))),
                                      std::span(arguments).first(function.parameters.size()),
                                      std::span(values).first(function.results.size()));
  if (!status) {
    (*binding.on_error)(status.error());
    return WasmEdge_ResultGen(WasmEdge_ErrCategory_UserLevelError, 1);
  }
  for (std::size_t i = 0; i < function.results.size(); ++i)
    results[i] = to_engine(values[i], function.results[i]);
  return WasmEdge_Result_Success;
}

std::vector<WasmEdge_ValType> engine_types(const std::vector<ValueType>& types) {
  std::vector<WasmEdge_ValType> converted;
  for (const ValueType type : types) converted.push_back(to_engine(type));
  return converted;
}

}  // namespace

Expected<ModuleInstance> make_host_module(const std::string& name, std::vector<HostFunction> functions,
                                          std::function<void(const Error&)> on_error) {
  auto owned = std::make_unique<HostData>();
  owned->on_error = std::move(on_error);
  for (HostFunction& function : functions) {
    if (function.parameters.size() > kMaxParameters || function.results.size() > kMaxResults) {
      return Error{Errc::kInvalidArgument,
                   "host function " + name + "." + function.name + " has too many parameters or results"};
    }
    owned->bindings.push_back({std::move(function), &owned->on_error});
  }
  HostData& data = *owned;
  ModuleInstance module(WasmEdge_ModuleInstanceCreateWithData(
      wrap(name), owned.release(), [](void* released) { delete static_cast<HostData*>(released); }));
  for (auto& binding : data.bindings) {
    const auto parameters = engine_types(binding.function.parameters);
    const auto results = engine_types(binding.function.results);
    const FunctionType type(
        WasmEdge_FunctionTypeCreate(parameters.data(), static_cast<std::uint32_t>(parameters.size()),
                                    results.data(), static_cast<std::uint32_t>(results.size())));
    WasmEdge_ModuleInstanceAddFunction(module.get(), wrap(binding.function.name),
                                       WasmEdge_FunctionInstanceCreate(type.get(), call_host, &binding, 0));
  }
  return module;
}

}  // namespace wasmgrad::sandbox
