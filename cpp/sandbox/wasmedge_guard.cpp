#include "wasmgrad/sandbox/wasmedge_guard.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "wasmgrad/sandbox/instance.hpp"
#include "wasmgrad/sandbox/section_reader.hpp"
#include "wasmgrad/sandbox/values.hpp"

namespace wasmgrad::sandbox {

namespace {

using Bytes = std::vector<std::byte>;

void append(Bytes& out, std::initializer_list<std::size_t> bytes) {
  for (const std::size_t byte : bytes) out.push_back(static_cast<std::byte>(byte));
}

void append_name(Bytes& out, std::string_view name) {
  append_number(out, name.size());
  for (const char c : name) out.push_back(static_cast<std::byte>(c));
}

void append_section(Bytes& out, std::size_t id, const Bytes& contents) {
  append(out, {id});
  append_number(out, contents.size());
  out.insert(out.end(), contents.begin(), contents.end());
}

// A module whose exports call the functions of WASI with the same names, over a memory of the guest's, or one
// of its own.
Bytes make_callers(std::span<const WasiFunction> functions, bool with_guests_memory) {
  constexpr std::size_t kI32 = 0x7f, kI64 = 0x7e, kFunctionType = 0x60, kFunction = 0, kMemory = 2;
  constexpr std::size_t kLocalGet = 0x20, kCall = 0x10, kEnd = 0x0b;
  const std::size_t count = functions.size();
  Bytes types, imports, declared, exports, code;
  append_number(types, count);
  append_number(imports, count + (with_guests_memory ? 1 : 0));
  append_number(declared, count);
  append_number(exports, count + (with_guests_memory ? 0 : 1));
  append_number(code, count);
  for (std::size_t i = 0; i < count; ++i) {
    const WasiFunction& function = functions[i];
    append(types, {kFunctionType});
    append_number(types, function.parameters.size());
    for (const ValueType type : function.parameters) append(types, {type == ValueType::kI32 ? kI32 : kI64});
    append(types, {1, kI32});
    append_name(imports, kWasiModule);
    append_name(imports, function.name);
    append(imports, {kFunction});
    append_number(imports, i);
    append_number(declared, i);
    append_name(exports, function.name);
    append(exports, {kFunction});
    append_number(exports, count + i);
    Bytes body;
    append(body, {0});  // no variables
    for (std::size_t parameter = 0; parameter < function.parameters.size(); ++parameter)
      append(body, {kLocalGet, parameter});
    append(body, {kCall});
    append_number(body, i);
    append(body, {kEnd});
    append_number(code, body.size());
    code.insert(code.end(), body.begin(), body.end());
  }
  if (with_guests_memory) {
    append_name(imports, WasmEdgeGuard::kGuest);
    append_name(imports, "memory");
    append(imports, {kMemory, 0, 0});
  } else {
    append_name(exports, "memory");
    append(exports, {kMemory, 0});
  }
  Bytes module;
  append(module, {0, 'a', 's', 'm', 1, 0, 0, 0});
  append_section(module, 1, types);
  append_section(module, 2, imports);
  append_section(module, 3, declared);
  if (!with_guests_memory) append_section(module, 5, {std::byte{1}, std::byte{0}, std::byte{1}});
  append_section(module, 7, exports);
  append_section(module, 10, code);
  return module;
}

Expected<ModuleInstance> instantiate(const WasmEdge_ConfigureContext* configure,
                                     WasmEdge_ExecutorContext* executor, WasmEdge_StoreContext* store,
                                     const Bytes& module) {
  const Loader loader(WasmEdge_LoaderCreate(configure));
  const Validator validator(WasmEdge_ValidatorCreate(configure));
  WasmEdge_ASTModuleContext* raw_ast = nullptr;
  WasmEdge_Result result = WasmEdge_LoaderParseFromBuffer(
      loader.get(), &raw_ast, reinterpret_cast<const std::uint8_t*>(module.data()),
      static_cast<std::uint32_t>(module.size()));
  const AstModule ast(raw_ast);
  if (WasmEdge_ResultOK(result)) result = WasmEdge_ValidatorValidate(validator.get(), ast.get());
  WasmEdge_ModuleInstanceContext* raw = nullptr;
  if (WasmEdge_ResultOK(result)) result = WasmEdge_ExecutorInstantiate(executor, &raw, store, ast.get());
  if (WasmEdge_ResultOK(result)) return ModuleInstance(raw);
  return Error{Errc::kRuntimeError,
               "cannot guard read-only directories: " + std::string(WasmEdge_ResultGetMessage(result))};
}

Expected<std::uint32_t> invoke(WasmEdge_ExecutorContext* executor,
                               const WasmEdge_ModuleInstanceContext* module, const WasiFunction& function,
                               std::span<const Value> arguments) {
  const auto* target = WasmEdge_ModuleInstanceFindFunction(module, wrap(function.name));
  std::vector<WasmEdge_Value> in;
  for (std::size_t i = 0; i < arguments.size(); ++i)
    in.push_back(to_engine(arguments[i], function.parameters[i]));
  WasmEdge_Value out{};
  const WasmEdge_Result result =
      WasmEdge_ExecutorInvoke(executor, target, in.data(), static_cast<std::uint32_t>(in.size()), &out, 1);
  if (WasmEdge_ResultOK(result)) return from_engine(out, ValueType::kI32).i32;
  return Error{Errc::kRuntimeError, std::string(function.name) + ": " + WasmEdge_ResultGetMessage(result)};
}

}  // namespace

// The engine numbers its directories in an order of its own, and tells by their rights which ones it was
// given read-only.
Status WasmEdgeGuard::find_directories() {
  const WasiFunction describe{"fd_fdstat_get", {ValueType::kI32, ValueType::kI32}};
  WASMGRAD_ASSIGN(const ModuleInstance probe,
                  instantiate(configure_, executor_, store_, make_callers(std::span(&describe, 1), false)));
  constexpr std::uint32_t kFirst = 3;  // after the standard streams
  for (std::uint32_t descriptor = kFirst;; ++descriptor) {
    const std::vector<Value> arguments{{.i32 = descriptor}, {.i32 = 0}};
    WASMGRAD_ASSIGN(const std::uint32_t error, invoke(executor_, probe.get(), describe, arguments));
    if (error != 0) return {};
    constexpr std::size_t kRights = 8;  // offset in the record
    constexpr std::uint64_t kCreateFile = 1ULL << 10;
    std::uint64_t rights = 0;
    std::memcpy(&rights,
                bytes_of(WasmEdge_ModuleInstanceFindMemory(probe.get(), wrap("memory"))).data() + kRights,
                sizeof rights);
    if ((rights & kCreateFile) == 0) files_.add(descriptor);
  }
}

std::vector<HostFunction> WasmEdgeGuard::functions() {
  std::vector<HostFunction> functions;
  for (std::size_t i = 0; i < guarded_wasi_functions().size(); ++i) {
    const WasiFunction& function = guarded_wasi_functions()[i];
    functions.push_back(
        {std::string(kModule),
         function.name,
         function.parameters,
         {ValueType::kI32},
         [this, i](GuestMemory memory, std::span<const Value> arguments, std::span<Value> results) -> Status {
           WASMGRAD_ASSIGN(results[0].i32, files_.pass(i, memory, arguments,
                                                       [this, i](auto passed) { return call(i, passed); }));
           return {};
         },
         false});
  }
  return functions;
}

Status WasmEdgeGuard::connect() {
  WASMGRAD_ASSIGN(callers_,
                  instantiate(configure_, executor_, store_, make_callers(guarded_wasi_functions(), true)));
  return {};
}

Expected<std::uint32_t> WasmEdgeGuard::call(std::size_t index, std::span<const Value> arguments) {
  constexpr std::uint32_t kNotThere = 52;  // ENOSYS
  if (!callers_) return kNotThere;
  return invoke(executor_, callers_.get(), guarded_wasi_functions()[index], arguments);
}

}  // namespace wasmgrad::sandbox
