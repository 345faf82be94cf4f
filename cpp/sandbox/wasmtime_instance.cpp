// A guest on wasmtime.
#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "wasmgrad/sandbox/handle_quota.hpp"
#include "wasmgrad/sandbox/instance.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"
#include "wasmgrad/sandbox/wasmtime_module.hpp"
#include "wasmgrad/sandbox/wasmtime_values.hpp"

namespace wasmgrad::sandbox {

namespace {

namespace wt = wasmtime;
using wt::Api;
using wt::Owned;

constexpr std::uint64_t kPageBytes = 65536;
// Tables live outside linear memory. A function table of 2^20 elements has 8 MiB.
constexpr std::int64_t kMaxTables = 8;
constexpr std::int64_t kMaxTableElements = std::int64_t{1} << 20;
// Wide enough for every function that a guest imports or that is called in it.
constexpr std::size_t kMaxValues = 32;

std::string_view view(const wt::Bytes& bytes) { return {bytes.data, bytes.size}; }

class WasmtimeInstance final : public Instance {
 public:
  static Expected<std::unique_ptr<Instance>> create(SandboxConfig config);

  Expected<std::uint32_t> run() override;
  Expected<std::vector<Value>> call(const std::string& function, const Signature& signature,
                                    std::span<const Value> arguments) override;
  [[nodiscard]] std::optional<Signature> find(const std::string& function) const override;
  [[nodiscard]] GuestMemory memory() const override;

 private:
  struct Binding {
    WasmtimeInstance* guest;
    HostFunction function;
  };

  WasmtimeInstance(const Api& api, const SandboxConfig& config, wt::CompiledModule code)
      : api_(api),
        name_(config.name),
        compute_only_(config.compute_only),
        handles_(config.max_handles),
        code_(std::move(code)) {}

  static wt::Trap* call_host(void* data, wt::Caller* caller, wt::RawValue* values, std::size_t count);
  [[nodiscard]] GuestMemory memory_of(wt::Caller* caller) const;
  [[nodiscard]] GuestMemory bytes_of(const wt::Memory& memory) const;
  [[nodiscard]] std::optional<wt::Func> find_function(const std::string& function) const;
  Status add_wasi(const SandboxConfig& config);
  Status add_functions(std::vector<HostFunction> functions);
  Status check_imports() const;
  Status instantiate();
  Status ended(wt::Failure* raw_failure, wt::Trap* raw_trap);
  Owned<wt::Failure> own(wt::Failure* failure) const { return {failure, wt::Deleter{&api_}}; }

  const Api& api_;
  std::string name_;
  bool compute_only_;
  HandleQuota handles_;
  std::vector<std::unique_ptr<Binding>>
      bindings_;                            // outlive the store and the linker, which have their addresses
  std::optional<Error> failure_;            // of the host function that trapped
  std::optional<std::uint32_t> exit_code_;  // once the guest has called proc_exit
  wt::CompiledModule code_;
  Owned<wt::StoreData> store_;
  Owned<wt::Linker> linker_;
  wt::Context* context_ = nullptr;
  bool is_instantiated_ = false;  // not when the guest has exited in its start function
  wt::Instance instance_{};
  std::optional<wt::Memory> memory_;  // once instantiated
};

// The one way from compiled code into a host function.
wt::Trap* WasmtimeInstance::call_host(void* data, wt::Caller* caller, wt::RawValue* values,
                                      std::size_t /*count*/) {
  const auto& binding = *static_cast<const Binding*>(data);
  const HostFunction& function = binding.function;
  WasmtimeInstance& guest = *binding.guest;
  std::array<Value, kMaxValues> arguments, results;
  for (std::size_t i = 0; i < function.parameters.size(); ++i)
    arguments[i] = wt::from_engine(values[i], function.parameters[i]);
  if (function.opens_files) guest.handles_.leave_guest();
  const Status status =
      function.call(guest.memory_of(caller), std::span(arguments).first(function.parameters.size()),
                    std::span(results).first(function.results.size()));
  if (function.opens_files) guest.handles_.enter_guest();
  if (!status) {
    guest.failure_ = status.error();
    const std::string& message = status.error().message;
    return guest.api_.wasmtime_trap_new(message.data(), message.size());
  }
  for (std::size_t i = 0; i < function.results.size(); ++i)
    values[i] = wt::to_engine(results[i], function.results[i]);
  return nullptr;
}

GuestMemory WasmtimeInstance::bytes_of(const wt::Memory& memory) const {
  return GuestMemory({reinterpret_cast<std::byte*>(api_.wasmtime_memory_data(context_, &memory)),
                      api_.wasmtime_memory_data_size(context_, &memory)});
}

// While a module's start function runs, there is no instance yet that could be asked.
GuestMemory WasmtimeInstance::memory_of(wt::Caller* caller) const {
  if (memory_) return bytes_of(*memory_);
  wt::Extern item{};
  constexpr std::string_view kName = "memory";
  if (!api_.wasmtime_caller_export_get(caller, kName.data(), kName.size(), &item)) return GuestMemory({});
  if (item.kind == wt::kExternMemory) return bytes_of(item.of.memory);
  api_.wasmtime_extern_delete(&item);
  return GuestMemory({});
}

Status WasmtimeInstance::add_wasi(const SandboxConfig& config) {
  Owned<wt::WasiConfig> wasi(api_.wasi_config_new(), wt::Deleter{&api_});
  std::vector<const char*> argv{config.name.c_str()}, names, values;
  for (const std::string& argument : config.args) argv.push_back(argument.c_str());
  std::vector<std::string> split;
  for (const std::string& entry : config.env) {
    const std::size_t equals = entry.find('=');
    split.push_back(entry.substr(0, equals));
    split.push_back(entry.substr(equals + 1));
  }
  for (std::size_t i = 0; i < split.size(); i += 2) {
    names.push_back(split[i].c_str());
    values.push_back(split[i + 1].c_str());
  }
  if (!api_.wasi_config_set_argv(wasi.get(), argv.size(), argv.data()) ||
      !api_.wasi_config_set_env(wasi.get(), names.size(), names.data(), values.data())) {
    return Error{Errc::kInvalidArgument,
                 "guest '" + name_ + "': its name, an argument or a variable of its is not UTF-8"};
  }
  api_.wasi_config_inherit_stdin(wasi.get());
  api_.wasi_config_inherit_stdout(wasi.get());
  api_.wasi_config_inherit_stderr(wasi.get());
  for (const Preopen& preopen : config.preopens) {
    if (!api_.wasi_config_preopen_dir(wasi.get(), preopen.host_path.c_str(), preopen.guest_path.c_str(),
                                      !preopen.read_only)) {
      return cannot_grant(preopen);
    }
  }
  if (const auto failure = own(api_.wasmtime_context_set_wasi(context_, wasi.release())); failure)
    return Error{Errc::kRuntimeError, "cannot set up WASI: " + wt::reason(api_, *failure)};
  if (const auto failure = own(api_.wasmtime_linker_define_wasi(linker_.get())); failure)
    return Error{Errc::kRuntimeError, "cannot register WASI: " + wt::reason(api_, *failure)};
  // The engine's own takes no codes beyond 125.
  api_.wasmtime_linker_allow_shadowing(linker_.get(), true);
  HostFunction exit{std::string(kWasiModule), "proc_exit", {ValueType::kI32}, {}, {}, false};
  exit.call = [this](GuestMemory, std::span<const Value> arguments, std::span<Value>) -> Status {
    exit_code_ = arguments[0].i32;
    return Error{Errc::kInterrupted, "the guest has exited"};
  };
  std::vector<HostFunction> functions;
  functions.push_back(std::move(exit));
  return add_functions(std::move(functions));
}

Status WasmtimeInstance::add_functions(std::vector<HostFunction> functions) {
  for (HostFunction& function : functions) {
    const auto refuse = [&](const std::string& why) {
      return Error{Errc::kInvalidArgument,
                   "host function " + function.module + "." + function.name + ": " + why};
    };
    if (function.parameters.size() > kMaxValues || function.results.size() > kMaxValues)
      return refuse("it has too many parameters or results");
    bindings_.push_back(std::make_unique<Binding>(Binding{this, std::move(function)}));
    const HostFunction& kept = bindings_.back()->function;
    const auto type = wt::make_type(api_, kept);
    const auto failure = own(api_.wasmtime_linker_define_func_unchecked(
        linker_.get(), kept.module.data(), kept.module.size(), kept.name.data(), kept.name.size(), type.get(),
        call_host, bindings_.back().get(), nullptr));
    if (failure) return refuse(wt::reason(api_, *failure));
  }
  return {};
}

Status WasmtimeInstance::check_imports() const {
  wt::Vector<wt::ImportType> imports{};
  api_.wasmtime_module_imports(code_.module.get(), &imports);
  const auto free_imports = [this](auto* vector) { api_.wasm_importtype_vec_delete(vector); };
  const std::unique_ptr<decltype(imports), decltype(free_imports)> owned(&imports, free_imports);
  for (std::size_t i = 0; i < imports.size; ++i) {
    const std::string_view module = view(*api_.wasm_importtype_module(imports.data[i]));
    const std::string_view name = view(*api_.wasm_importtype_name(imports.data[i]));
    const wt::ExternType* type = api_.wasm_importtype_type(imports.data[i]);
    const auto refuse = [&](const std::string& why) {
      return import_refused(name_, std::string(module) + "." + std::string(name), why);
    };
    if (compute_only_) return refuse(", but a module of its kind must not import anything");
    if (api_.wasm_externtype_kind(type) != wt::kExternFunc)
      return refuse(", which is not a function; this host provides functions only");
    wt::Extern item{};
    if (!api_.wasmtime_linker_get(linker_.get(), context_, module.data(), module.size(), name.data(),
                                  name.size(), &item)) {
      return refuse(", which this host does not provide");
    }
    const Signature wanted = wt::signature_of(api_, api_.wasm_externtype_as_functype_const(type));
    const Owned<wt::FuncType> actual(api_.wasmtime_func_type(context_, &item.of.func), wt::Deleter{&api_});
    const Signature provided = wt::signature_of(api_, actual.get());
    if (wanted != provided)
      return refuse(" as " + wanted.text() + ", but this host provides " + provided.text());
  }
  return {};
}

// What a call that did not return says: nothing when the guest has exited.
Status WasmtimeInstance::ended(wt::Failure* raw_failure, wt::Trap* raw_trap) {
  const auto failure = own(raw_failure);
  const Owned<wt::Trap> trap(raw_trap, wt::Deleter{&api_});
  if (exit_code_) return {};
  if (failure_) return *std::exchange(failure_, std::nullopt);
  if (failure) return guest_trapped(name_, wt::reason(api_, *failure));
  if (trap) return guest_trapped(name_, wt::reason(api_, *trap));
  return {};
}

Status WasmtimeInstance::instantiate() {
  wt::Trap* trap = nullptr;
  handles_.enter_guest();  // a module may have a start function
  wt::Failure* failure =
      api_.wasmtime_linker_instantiate(linker_.get(), context_, code_.module.get(), &instance_, &trap);
  handles_.leave_guest();
  WASMGRAD_CHECK(ended(failure, trap));
  if (exit_code_) return {};
  is_instantiated_ = true;
  constexpr std::string_view kName = "memory";
  wt::Extern item{};
  if (!api_.wasmtime_instance_export_get(context_, &instance_, kName.data(), kName.size(), &item)) return {};
  if (item.kind == wt::kExternMemory) {
    memory_ = item.of.memory;
  } else {
    api_.wasmtime_extern_delete(&item);
  }
  return {};
}

// The engine opens files of its own, for its event loop, when a function of WASI that may wait is called
// first. They are none of the guest's, before whom this small module therefore calls one: fd_close of no
// file, from its export "y".
Status start_wasi(const SandboxConfig& guest) {
  static constexpr char kModule[] =
      "\0asm\1\0\0\0"
      "\x01\x0a\x02\x60\x01\x7f\x01\x7f\x60\x00\x01\x7f"
      "\x02\x23\x01\x16wasi_snapshot_preview1\x08"
      "fd_close\x00\x00"
      "\x03\x02\x01\x01"
      "\x05\x03\x01\x00\x00"
      "\x07\x0e\x02\x06memory\x02\x00\x01y\x00\x01"
      "\x0a\x08\x01\x06\x00\x41\x7f\x10\x00\x0b";
  SandboxConfig config;
  const auto bytes = std::as_bytes(std::span(kModule).first(sizeof kModule - 1));
  config.module.assign(bytes.begin(), bytes.end());
  config.name = "start of WASI";
  config.wasmtime_library = guest.wasmtime_library;
  WASMGRAD_ASSIGN(const auto instance, make_wasmtime_instance(std::move(config)));
  WASMGRAD_CHECK(instance->call("y", Signature({}, {ValueType::kI32}), {}));
  return {};
}

Expected<std::unique_ptr<Instance>> WasmtimeInstance::create(SandboxConfig config) {
  if (config.interpret) {
    return Error{Errc::kUnsupportedOperation,
                 "interpret: the engine wasmtime always compiles; expected the engine wasmedge"};
  }
  WASMGRAD_ASSIGN(const Api* api, wt::load_api(config.wasmtime_library));
  WASMGRAD_ASSIGN(wt::CompiledModule code, wt::compile(*api, config));
  std::unique_ptr<WasmtimeInstance> guest(new WasmtimeInstance(*api, config, std::move(code)));
  guest->store_ = {api->wasmtime_store_new(guest->code_.engine.get(), nullptr, nullptr), wt::Deleter{api}};
  guest->context_ = api->wasmtime_store_context(guest->store_.get());
  api->wasmtime_store_limiter(guest->store_.get(),
                              static_cast<std::int64_t>(config.max_memory_pages * kPageBytes),
                              kMaxTableElements, 1, kMaxTables, 1);
  guest->linker_ = {api->wasmtime_linker_new(guest->code_.engine.get()), wt::Deleter{api}};
  WASMGRAD_CHECK(guest->add_wasi(config));
  WASMGRAD_CHECK(guest->add_functions(std::move(config.functions)));
  WASMGRAD_CHECK(guest->check_imports());
  if (config.max_handles) WASMGRAD_CHECK(start_wasi(config));
  WASMGRAD_CHECK(guest->instantiate());
  return std::unique_ptr<Instance>(std::move(guest));
}

Expected<std::uint32_t> WasmtimeInstance::run() {
  if (!is_instantiated_) return exit_code_.value_or(0);
  if (find("_start") != Signature()) return not_exported(name_, "_start");
  WASMGRAD_CHECK(call("_start", {}, {}));
  return exit_code_.value_or(0);
}

Expected<std::vector<Value>> WasmtimeInstance::call(const std::string& function, const Signature& signature,
                                                    std::span<const Value> arguments) {
  const std::optional<wt::Func> target = find_function(function);
  const std::size_t count = std::max(arguments.size(), signature.results.size());
  if (!target || count > kMaxValues)
    return Error{Errc::kInvalidArgument, "function '" + function + "' has too many parameters or results"};
  std::array<wt::RawValue, kMaxValues> values;
  for (std::size_t i = 0; i < arguments.size(); ++i)
    values[i] = wt::to_engine(arguments[i], *signature.parameters[i]);
  failure_.reset();
  exit_code_.reset();
  wt::Trap* trap = nullptr;
  handles_.enter_guest();
  wt::Failure* failure = api_.wasmtime_func_call_unchecked(context_, &*target, values.data(), count, &trap);
  handles_.leave_guest();
  WASMGRAD_CHECK(ended(failure, trap));
  std::vector<Value> results;
  for (std::size_t i = 0; i < signature.results.size() && !exit_code_; ++i)
    results.push_back(wt::from_engine(values[i], *signature.results[i]));
  return results;
}

std::optional<wt::Func> WasmtimeInstance::find_function(const std::string& function) const {
  wt::Extern item{};
  if (!is_instantiated_ ||
      !api_.wasmtime_instance_export_get(context_, &instance_, function.data(), function.size(), &item)) {
    return std::nullopt;
  }
  if (item.kind == wt::kExternFunc) return item.of.func;
  api_.wasmtime_extern_delete(&item);
  return std::nullopt;
}

std::optional<Signature> WasmtimeInstance::find(const std::string& function) const {
  const std::optional<wt::Func> found = find_function(function);
  if (!found) return std::nullopt;
  const Owned<wt::FuncType> type(api_.wasmtime_func_type(context_, &*found), wt::Deleter{&api_});
  return wt::signature_of(api_, type.get());
}

GuestMemory WasmtimeInstance::memory() const { return memory_ ? bytes_of(*memory_) : GuestMemory({}); }

}  // namespace

Expected<std::unique_ptr<Instance>> make_wasmtime_instance(SandboxConfig config) {
  return WasmtimeInstance::create(std::move(config));
}

}  // namespace wasmgrad::sandbox
