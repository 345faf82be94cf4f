// The part of wasmtime's C API that the sandbox uses, from the shared library that the Python package of
// wasmtime or an installation of its C API brings. Neither comes with the headers that fit the other: what is
// needed is declared here, and the library is asked for its version before anything else. Private to
// sandbox/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::sandbox::wasmtime {

struct Config;
struct Engine;
struct StoreData;
struct Context;
struct Linker;
struct Module;
struct Caller;
struct WasiConfig;
struct Failure;  ///< wasmtime_error_t
struct Trap;
struct FuncType;
struct ValType;
struct ImportType;
struct ExportType;
struct ExternType;
struct MemoryType;

struct Bytes {
  std::size_t size;
  char* data;
};
template <class T>
struct Vector {
  std::size_t size;
  T** data;
};
/// A value as compiled code has it: wide enough for a vector, little-endian.
union RawValue {
  std::int32_t i32;
  std::int64_t i64;
  float f32;
  double f64;
  std::uint8_t v128[16];
  void* reference;
};
/// These refer to what a store owns.
struct Func {
  std::uint64_t store;
  void* item;
};
struct Memory {
  struct {
    std::uint64_t store;
    std::uint32_t item;
  } of;
  std::uint32_t item;
};
struct Instance {
  std::uint64_t store;
  std::size_t item;
};
struct Extern {
  std::uint8_t kind;
  union {
    Func func;
    Memory memory;
    std::uint64_t other[3];
  } of;
};
static_assert(sizeof(Bytes) == 16 && sizeof(RawValue) == 16 && sizeof(Func) == 16 && sizeof(Memory) == 24 &&
              sizeof(Instance) == 16 && sizeof(Extern) == 32 && offsetof(Extern, of) == 8);

enum ExternKind : std::uint8_t { kExternFunc = 0, kExternMemory = 3 };
/// The first four are our ValueType's, in its order.
using ValKind = std::uint8_t;

using Callback = Trap* (*)(void* data, Caller* caller, RawValue* arguments_and_results, std::size_t count);
using Finalizer = void (*)(void* data);

/// name, result, parameters
#define WASMGRAD_WASMTIME_FUNCTIONS(X)                                                                  \
  X(wasm_config_new, Config*, ())                                                                       \
  X(wasm_engine_new_with_config, Engine*, (Config*))                                                    \
  X(wasm_engine_delete, void, (Engine*))                                                                \
  X(wasmtime_config_memory_init_cow_set, void, (Config*, bool))                                         \
  X(wasmtime_config_wasm_threads_set, void, (Config*, bool))                                            \
  X(wasmtime_config_wasm_multi_memory_set, void, (Config*, bool))                                       \
  X(wasmtime_config_wasm_memory64_set, void, (Config*, bool))                                           \
  X(wasmtime_config_wasm_function_references_set, void, (Config*, bool))                                \
  X(wasmtime_config_wasm_gc_set, void, (Config*, bool))                                                 \
  X(wasmtime_config_wasm_exceptions_set, void, (Config*, bool))                                         \
  X(wasmtime_store_new, StoreData*, (Engine*, void*, Finalizer))                                        \
  X(wasmtime_store_context, Context*, (StoreData*))                                                     \
  X(wasmtime_store_limiter, void,                                                                       \
    (StoreData*, std::int64_t memory_bytes, std::int64_t table_elements, std::int64_t instances,        \
     std::int64_t tables, std::int64_t memories))                                                       \
  X(wasmtime_store_delete, void, (StoreData*))                                                          \
  X(wasmtime_context_set_wasi, Failure*, (Context*, WasiConfig*))                                       \
  X(wasi_config_new, WasiConfig*, ())                                                                   \
  X(wasi_config_delete, void, (WasiConfig*))                                                            \
  X(wasi_config_set_argv, bool, (WasiConfig*, std::size_t, const char* const*))                         \
  X(wasi_config_set_env, bool, (WasiConfig*, std::size_t, const char* const*, const char* const*))      \
  X(wasi_config_inherit_stdin, void, (WasiConfig*))                                                     \
  X(wasi_config_inherit_stdout, void, (WasiConfig*))                                                    \
  X(wasi_config_inherit_stderr, void, (WasiConfig*))                                                    \
  X(wasi_config_preopen_dir, bool, (WasiConfig*, const char* host, const char* guest, bool is_mutable)) \
  X(wasmtime_linker_new, Linker*, (Engine*))                                                            \
  X(wasmtime_linker_delete, void, (Linker*))                                                            \
  X(wasmtime_linker_allow_shadowing, void, (Linker*, bool))                                             \
  X(wasmtime_linker_define_wasi, Failure*, (Linker*))                                                   \
  X(wasmtime_linker_define_func_unchecked, Failure*,                                                    \
    (Linker*, const char*, std::size_t, const char*, std::size_t, const FuncType*, Callback, void*,     \
     Finalizer))                                                                                        \
  X(wasmtime_instance_new, Failure*,                                                                    \
    (Context*, const Module*, const Extern*, std::size_t, Instance*, Trap**))                           \
  X(wasmtime_func_new_unchecked, void, (Context*, const FuncType*, Callback, void*, Finalizer, Func*))  \
  X(wasmtime_linker_get, bool,                                                                          \
    (Linker*, Context*, const char*, std::size_t, const char*, std::size_t, Extern*))                   \
  X(wasmtime_linker_instantiate, Failure*, (Linker*, Context*, Module*, Instance*, Trap**))             \
  X(wasmtime_module_new, Failure*, (Engine*, const std::uint8_t*, std::size_t, Module**))               \
  X(wasmtime_module_validate, Failure*, (Engine*, const std::uint8_t*, std::size_t))                    \
  X(wasmtime_module_serialize, Failure*, (Module*, Bytes*))                                             \
  X(wasmtime_module_deserialize, Failure*, (Engine*, const std::uint8_t*, std::size_t, Module**))       \
  X(wasmtime_module_imports, void, (const Module*, Vector<ImportType>*))                                \
  X(wasmtime_module_exports, void, (const Module*, Vector<ExportType>*))                                \
  X(wasmtime_module_delete, void, (Module*))                                                            \
  X(wasmtime_instance_export_get, bool, (Context*, const Instance*, const char*, std::size_t, Extern*)) \
  X(wasmtime_func_type, FuncType*, (Context*, const Func*))                                             \
  X(wasmtime_func_call_unchecked, Failure*, (Context*, const Func*, RawValue*, std::size_t, Trap**))    \
  X(wasmtime_caller_export_get, bool, (Caller*, const char*, std::size_t, Extern*))                     \
  X(wasmtime_caller_context, Context*, (Caller*))                                                       \
  X(wasmtime_memory_data, std::uint8_t*, (Context*, const Memory*))                                     \
  X(wasmtime_memory_data_size, std::size_t, (Context*, const Memory*))                                  \
  X(wasmtime_memorytype_minimum, std::uint64_t, (const MemoryType*))                                    \
  X(wasmtime_extern_delete, void, (Extern*))                                                            \
  X(wasmtime_trap_new, Trap*, (const char*, std::size_t))                                               \
  X(wasmtime_error_message, void, (const Failure*, Bytes*))                                             \
  X(wasmtime_error_delete, void, (Failure*))                                                            \
  X(wasm_trap_message, void, (const Trap*, Bytes*))                                                     \
  X(wasm_trap_delete, void, (Trap*))                                                                    \
  X(wasm_byte_vec_delete, void, (Bytes*))                                                               \
  X(wasm_valtype_new, ValType*, (ValKind))                                                              \
  X(wasm_valtype_kind, ValKind, (const ValType*))                                                       \
  X(wasm_valtype_vec_new, void, (Vector<ValType>*, std::size_t, ValType* const*))                       \
  X(wasm_functype_new, FuncType*, (Vector<ValType>*, Vector<ValType>*))                                 \
  X(wasm_functype_params, const Vector<ValType>*, (const FuncType*))                                    \
  X(wasm_functype_results, const Vector<ValType>*, (const FuncType*))                                   \
  X(wasm_functype_delete, void, (FuncType*))                                                            \
  X(wasm_importtype_module, const Bytes*, (const ImportType*))                                          \
  X(wasm_importtype_name, const Bytes*, (const ImportType*))                                            \
  X(wasm_importtype_type, const ExternType*, (const ImportType*))                                       \
  X(wasm_importtype_vec_delete, void, (Vector<ImportType>*))                                            \
  X(wasm_exporttype_type, const ExternType*, (const ExportType*))                                       \
  X(wasm_exporttype_vec_delete, void, (Vector<ExportType>*))                                            \
  X(wasm_externtype_kind, std::uint8_t, (const ExternType*))                                            \
  X(wasm_externtype_as_functype_const, const FuncType*, (const ExternType*))                            \
  X(wasm_externtype_as_memorytype_const, const MemoryType*, (const ExternType*))

/// The functions of one loaded library, which is never unloaded: its threads may outlive every guest.
struct Api {
#define WASMGRAD_WASMTIME_MEMBER(name, result, parameters) result(*name) parameters = nullptr;
  WASMGRAD_WASMTIME_FUNCTIONS(WASMGRAD_WASMTIME_MEMBER)
#undef WASMGRAD_WASMTIME_MEMBER
};

/// `library` is a file, or a name for the loader to look up; empty stands for "libwasmtime.so". Errors:
/// kNotFound when it cannot be loaded, kUnsupportedOperation when it is no wasmtime of a tested version.
Expected<const Api*> load_api(const std::filesystem::path& library);

/// Frees what the API gave out.
struct Deleter {
  const Api* api = nullptr;
  void operator()(Engine* object) const noexcept { api->wasm_engine_delete(object); }
  void operator()(StoreData* object) const noexcept { api->wasmtime_store_delete(object); }
  void operator()(Linker* object) const noexcept { api->wasmtime_linker_delete(object); }
  void operator()(Module* object) const noexcept { api->wasmtime_module_delete(object); }
  void operator()(WasiConfig* object) const noexcept { api->wasi_config_delete(object); }
  void operator()(Failure* object) const noexcept { api->wasmtime_error_delete(object); }
  void operator()(Trap* object) const noexcept { api->wasm_trap_delete(object); }
  void operator()(FuncType* object) const noexcept { api->wasm_functype_delete(object); }
};
template <class T>
using Owned = std::unique_ptr<T, Deleter>;

/// The cause of a failure or a trap, in one line. A report may hold a backtrace before it.
std::string reason(const Api& api, const Failure& failure);
std::string reason(const Api& api, const Trap& trap);

}  // namespace wasmgrad::sandbox::wasmtime
