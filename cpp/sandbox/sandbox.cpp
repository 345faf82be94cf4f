#include "wasmgrad/sandbox/sandbox.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "wasmgrad/sandbox/aot.hpp"
#include "wasmgrad/sandbox/engine.hpp"
#include "wasmgrad/sandbox/handle_quota.hpp"
#include "wasmgrad/sandbox/host_module.hpp"
#include "wasmgrad/sandbox/relaxed_simd.hpp"
#include "wasmgrad/sandbox/type_section.hpp"
#include "wasmgrad/sandbox/values.hpp"

namespace wasmgrad::sandbox {

namespace {

struct Proposal {
  WasmEdge_Proposal id;
  const char* name;
};
// Proposals that stay off. 0.14.1's compiler crashes on some of them.
constexpr Proposal kRefusedProposals[] = {
    {WasmEdge_Proposal_ExceptionHandling, "exception handling"},
    {WasmEdge_Proposal_GC, "garbage collection"},
    {WasmEdge_Proposal_FunctionReferences, "typed function references"},
    {WasmEdge_Proposal_TailCall, "tail calls"},
    {WasmEdge_Proposal_MultiMemories, "multiple memories"},
    {WasmEdge_Proposal_Memory64, "64-bit memory"},
    {WasmEdge_Proposal_Threads, "threads"},
    {WasmEdge_Proposal_RelaxSIMD, "relaxed SIMD"},
};

Expected<AstModule> parse(const WasmEdge_ConfigureContext* configure, std::span<const std::byte> module) {
  const Loader loader(WasmEdge_LoaderCreate(configure));
  const Validator validator(WasmEdge_ValidatorCreate(configure));
  WasmEdge_ASTModuleContext* raw = nullptr;
  WasmEdge_Result result =
      WasmEdge_LoaderParseFromBuffer(loader.get(), &raw, reinterpret_cast<const std::uint8_t*>(module.data()),
                                     static_cast<std::uint32_t>(module.size()));
  AstModule ast(raw);
  if (WasmEdge_ResultOK(result)) result = WasmEdge_ValidatorValidate(validator.get(), ast.get());
  if (WasmEdge_ResultOK(result)) return ast;
  return Error{Errc::kInvalidEncoding, WasmEdge_ResultGetMessage(result)};
}

// The engine's WASI adds functions that open sockets and resolve names, for which it asks no grant. The four
// of the standard only work on sockets that the guest was given: on none.
bool reaches_network(std::string_view wasi_function) {
  constexpr std::string_view kHarmless[] = {"sock_accept", "sock_recv", "sock_send", "sock_shutdown"};
  return wasi_function.starts_with("sock_") &&
         std::ranges::find(kHarmless, wasi_function) == std::end(kHarmless);
}

bool is_wasm(std::span<const std::byte> module) {
  constexpr std::array<std::byte, 8> kHeader{std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'},
                                             std::byte{1}, std::byte{0},   std::byte{0},   std::byte{0}};
  return module.size() > kHeader.size() && std::equal(kHeader.begin(), kHeader.end(), module.begin());
}

// Parses and validates; the error of a module that is valid under a refused proposal names the proposal.
Expected<AstModule> parse_guest(const SandboxConfig& config, WasmEdge_ConfigureContext* configure) {
  const std::string guest = "guest '" + config.name + "'";
  // The engine also accepts native libraries, from anybody: a guest is wasm or nothing.
  if (!is_wasm(config.module)) return Error{Errc::kInvalidEncoding, guest + " is not a WebAssembly module"};
  const auto refuse = [&](const std::string& proposal) {
    return Error{
        Errc::kUnsupportedOperation,
        guest + " uses the " + proposal + " proposal of WebAssembly, which this host does not enable"};
  };
  if (declares_gc_types(config.module)) return refuse("garbage collection");
  auto ast = parse(configure, config.module);
  if (ast) return ast;
  for (const Proposal& proposal : kRefusedProposals) {
    const Configure wider = make_configure(config.max_memory_pages, true);
    WasmEdge_ConfigureAddProposal(wider.get(), proposal.id);
    // Garbage collection is defined on top of function references.
    if (proposal.id == WasmEdge_Proposal_GC) {
      WasmEdge_ConfigureAddProposal(wider.get(), WasmEdge_Proposal_FunctionReferences);
    }
    if (parse(wider.get(), config.module)) return refuse(proposal.name);
  }
  return Error{Errc::kInvalidEncoding, guest + " is not a valid WebAssembly module: " + ast.error().message};
}

}  // namespace

Configure make_configure(std::uint32_t max_memory_pages, bool interpret) {
  Configure configure(WasmEdge_ConfigureCreate());
  for (const Proposal& proposal : kRefusedProposals)
    WasmEdge_ConfigureRemoveProposal(configure.get(), proposal.id);
  WasmEdge_ConfigureAddProposal(configure.get(), WasmEdge_Proposal_ExtendedConst);
  WasmEdge_ConfigureSetMaxMemoryPage(configure.get(), max_memory_pages);
  WasmEdge_ConfigureSetForceInterpreter(configure.get(), interpret);
  WasmEdge_ConfigureCompilerSetOptimizationLevel(configure.get(), WasmEdge_CompilerOptimizationLevel_O3);
  WasmEdge_ConfigureCompilerSetOutputFormat(configure.get(), WasmEdge_CompilerOutputFormat_Native);
  return configure;
}

std::string engine_version() { return WasmEdge_VersionGet(); }

struct Sandbox::State {
  std::string name;
  bool compute_only;
  HandleQuota handles;
  std::optional<Error> failure;  // of the host function that trapped
  Configure configure;
  Store store;
  std::vector<ModuleInstance> host_modules;
  ModuleInstance wasi;
  Executor executor;
  std::optional<CompiledGuest> compiled;
  AstModule ast;
  ModuleInstance instance;

  explicit State(const SandboxConfig& config)
      : name(config.name), compute_only(config.compute_only), handles(config.max_handles) {}
  Status add_functions(std::vector<HostFunction> functions);
  Status add_wasi(const SandboxConfig& config);
  Status check_imports() const;
  Status check_memory(std::uint32_t max_pages) const;
  Status instantiate(const SandboxConfig& config);
  Expected<std::vector<Value>> invoke(const std::string& function, std::span<const Value> arguments);
};

// Registers the functions, one engine module for each module name.
Status Sandbox::State::add_functions(std::vector<HostFunction> functions) {
  std::map<std::string, std::vector<HostFunction>> modules;
  for (HostFunction& function : functions) {
    if (function.opens_files) {
      function.call = [this, call = std::move(function.call)](GuestMemory memory, auto arguments,
                                                              auto results) {
        handles.leave_guest();
        Status status = call(memory, arguments, results);
        handles.enter_guest();
        return status;
      };
    }
    modules[function.module].push_back(std::move(function));
  }
  for (auto& [module_name, members] : modules) {
    WASMGRAD_ASSIGN(ModuleInstance module, make_host_module(module_name, std::move(members),
                                                            [this](const Error& error) { failure = error; }));
    const WasmEdge_Result result = WasmEdge_ExecutorRegisterImport(executor.get(), store.get(), module.get());
    if (!WasmEdge_ResultOK(result)) {
      return Error{Errc::kInvalidArgument, "cannot register the host functions of '" + module_name +
                                               "': " + std::string(WasmEdge_ResultGetMessage(result))};
    }
    host_modules.push_back(std::move(module));
  }
  return {};
}

Status Sandbox::State::add_wasi(const SandboxConfig& config) {
  std::vector<std::string> preopens;
  for (const Preopen& preopen : config.preopens) {
    const std::string host = preopen.host_path.string();
    std::error_code error;
    if (!std::filesystem::is_directory(preopen.host_path, error)) {
      return Error{Errc::kNotFound, "directory '" + host + "', to be given to the guest as '" +
                                        preopen.guest_path + "', does not exist"};
    }
    // The engine's own notation is GUEST:HOST[:readonly].
    if (host.find(':') != std::string::npos || preopen.guest_path.find(':') != std::string::npos) {
      return Error{Errc::kInvalidArgument,
                   "directory '" + host + "' cannot be given to a guest: its path has a colon"};
    }
    preopens.push_back(preopen.guest_path + ":" + host + (preopen.read_only ? ":readonly" : ""));
  }
  std::vector<std::string> argv{config.name};
  argv.insert(argv.end(), config.args.begin(), config.args.end());
  const auto pointers = [](const std::vector<std::string>& texts) {
    std::vector<const char*> result;
    for (const std::string& text : texts) result.push_back(text.c_str());
    return result;
  };
  const auto args = pointers(argv), env = pointers(config.env), dirs = pointers(preopens);
  wasi.reset(WasmEdge_ModuleInstanceCreateWASI(args.data(), static_cast<std::uint32_t>(args.size()),
                                               env.data(), static_cast<std::uint32_t>(env.size()),
                                               dirs.data(), static_cast<std::uint32_t>(dirs.size())));
  const WasmEdge_Result result = WasmEdge_ExecutorRegisterImport(executor.get(), store.get(), wasi.get());
  if (WasmEdge_ResultOK(result)) return {};
  return Error{Errc::kRuntimeError,
               "cannot register WASI: " + std::string(WasmEdge_ResultGetMessage(result))};
}

Status Sandbox::State::check_imports() const {
  std::vector<const WasmEdge_ImportTypeContext*> imports(WasmEdge_ASTModuleListImportsLength(ast.get()));
  WasmEdge_ASTModuleListImports(ast.get(), imports.data(), static_cast<std::uint32_t>(imports.size()));
  for (const auto* import : imports) {
    const auto module_name = WasmEdge_ImportTypeGetModuleName(import);
    const auto name = WasmEdge_ImportTypeGetExternalName(import);
    const std::string what = std::string(view(module_name)) + "." + std::string(view(name));
    const auto refuse = [&](const std::string& why) {
      return Error{Errc::kUnsupportedOperation, "guest '" + this->name + "' imports " + what + why};
    };
    if (compute_only) return refuse(", but a module of its kind must not import anything");
    if (WasmEdge_ImportTypeGetExternalType(import) != WasmEdge_ExternalType_Function) {
      return refuse(", which is not a function; this host provides functions only");
    }
    if (view(module_name) == "wasi_snapshot_preview1" && reaches_network(view(name))) {
      return refuse(", which reaches the network; this host gives guests none");
    }
    const auto* module = WasmEdge_StoreFindModule(store.get(), module_name);
    const auto* function = module != nullptr ? WasmEdge_ModuleInstanceFindFunction(module, name) : nullptr;
    if (function == nullptr) return refuse(", which this host does not provide");
    const Signature wanted(WasmEdge_ImportTypeGetFunctionType(ast.get(), import));
    const Signature provided(WasmEdge_FunctionInstanceGetFunctionType(function));
    if (wanted != provided) {
      return refuse(" as " + wanted.text() + ", but this host provides " + provided.text());
    }
  }
  return {};
}

Status Sandbox::State::check_memory(std::uint32_t max_pages) const {
  std::vector<const WasmEdge_ExportTypeContext*> exports(WasmEdge_ASTModuleListExportsLength(ast.get()));
  WasmEdge_ASTModuleListExports(ast.get(), exports.data(), static_cast<std::uint32_t>(exports.size()));
  for (const auto* item : exports) {
    if (WasmEdge_ExportTypeGetExternalType(item) != WasmEdge_ExternalType_Memory) continue;
    const WasmEdge_Limit limit =
        WasmEdge_MemoryTypeGetLimit(WasmEdge_ExportTypeGetMemoryType(ast.get(), item));
    if (limit.Min > max_pages) {
      return Error{Errc::kTooLarge, "guest '" + name + "' needs " + std::to_string(limit.Min) +
                                        " pages of memory at its start; at most " +
                                        std::to_string(max_pages) + " are allowed"};
    }
  }
  return {};
}

Status Sandbox::State::instantiate(const SandboxConfig& config) {
  if (!config.interpret) {
    WASMGRAD_ASSIGN(CompiledGuest guest, compile_guest(config.module, configure.get(), config.aot_cache));
    const Loader loader(WasmEdge_LoaderCreate(configure.get()));
    const Validator validator(WasmEdge_ValidatorCreate(configure.get()));
    WasmEdge_ASTModuleContext* raw = nullptr;
    WasmEdge_Result result = WasmEdge_LoaderParseFromFile(loader.get(), &raw, guest.path().c_str());
    ast.reset(raw);
    compiled.emplace(std::move(guest));
    if (WasmEdge_ResultOK(result)) result = WasmEdge_ValidatorValidate(validator.get(), ast.get());
    if (!WasmEdge_ResultOK(result)) {
      return Error{Errc::kRuntimeError, "cannot load the compiled guest '" + name +
                                            "': " + std::string(WasmEdge_ResultGetMessage(result))};
    }
  }
  WasmEdge_ModuleInstanceContext* raw = nullptr;
  handles.enter_guest();  // a module may have a start function
  const WasmEdge_Result result = WasmEdge_ExecutorInstantiate(executor.get(), &raw, store.get(), ast.get());
  handles.leave_guest();
  instance.reset(raw);
  if (WasmEdge_ResultOK(result)) return {};
  if (failure) return std::move(*failure);
  const std::string message = WasmEdge_ResultGetMessage(result);
  return Error{Errc::kRuntimeError, "cannot instantiate guest '" + name + "': " + message};
}

Expected<std::vector<Value>> Sandbox::State::invoke(const std::string& function,
                                                    std::span<const Value> arguments) {
  const auto* target = WasmEdge_ModuleInstanceFindFunction(instance.get(), wrap(function));
  if (target == nullptr) {
    return Error{Errc::kNotFound, "guest '" + name + "' does not export a function '" + function + "'"};
  }
  const Signature signature(WasmEdge_FunctionInstanceGetFunctionType(target));
  if (signature.parameters.size() != arguments.size()) {
    return Error{Errc::kInvalidArgument, "function '" + function + "' takes " + signature.text() + ", but " +
                                             std::to_string(arguments.size()) + " arguments were given"};
  }
  for (const auto& types : {signature.parameters, signature.results}) {
    if (std::ranges::any_of(types, [](const auto& type) { return !type.has_value(); })) {
      return Error{Errc::kInvalidArgument,
                   "function '" + function + "' uses types other than i32, i64, f32 and f64"};
    }
  }
  std::vector<WasmEdge_Value> in, out(signature.results.size());
  for (std::size_t i = 0; i < arguments.size(); ++i)
    in.push_back(to_engine(arguments[i], *signature.parameters[i]));
  failure.reset();
  handles.enter_guest();
  const WasmEdge_Result result =
      WasmEdge_ExecutorInvoke(executor.get(), target, in.data(), static_cast<std::uint32_t>(in.size()),
                              out.data(), static_cast<std::uint32_t>(out.size()));
  handles.leave_guest();
  if (failure) return *std::exchange(failure, std::nullopt);
  if (!WasmEdge_ResultOK(result)) {
    return Error{Errc::kRuntimeError,
                 "guest '" + name + "' trapped: " + std::string(WasmEdge_ResultGetMessage(result))};
  }
  std::vector<Value> values;
  for (std::size_t i = 0; i < out.size(); ++i) values.push_back(from_engine(out[i], *signature.results[i]));
  return values;
}

Expected<Sandbox> Sandbox::create(SandboxConfig config) {
  // The engine would log to the standard output, which is the guest's; every failure is reported by its
  // result instead.
  WasmEdge_LogOff();
  auto state = std::make_unique<State>(config);
  state->configure = make_configure(config.max_memory_pages, config.interpret);
  if (config.compute_only) {
    WasmEdge_ConfigureAddProposal(state->configure.get(), WasmEdge_Proposal_RelaxSIMD);
    if (auto changed = with_plain_relaxed_results(config.module)) config.module = std::move(*changed);
  }
  WASMGRAD_ASSIGN(state->ast, parse_guest(config, state->configure.get()));
  state->store.reset(WasmEdge_StoreCreate());
  state->executor.reset(WasmEdge_ExecutorCreate(state->configure.get(), nullptr));
  WASMGRAD_CHECK(state->add_wasi(config));
  WASMGRAD_CHECK(state->add_functions(std::move(config.functions)));
  WASMGRAD_CHECK(state->check_imports());
  WASMGRAD_CHECK(state->check_memory(config.max_memory_pages));
  WASMGRAD_CHECK(state->instantiate(config));
  return Sandbox(std::move(state));
}

Sandbox::Sandbox(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sandbox::Sandbox(Sandbox&&) noexcept = default;
Sandbox& Sandbox::operator=(Sandbox&&) noexcept = default;
Sandbox::~Sandbox() = default;

Expected<std::uint32_t> Sandbox::run() {
  WASMGRAD_CHECK(state_->invoke("_start", {}));
  return WasmEdge_ModuleInstanceWASIGetExitCode(state_->wasi.get());
}

Expected<std::vector<Value>> Sandbox::call(const std::string& function, std::span<const Value> arguments) {
  return state_->invoke(function, arguments);
}

Status Sandbox::check_export(const std::string& function, const std::vector<ValueType>& parameters,
                             const std::vector<ValueType>& results) const {
  const auto* found = WasmEdge_ModuleInstanceFindFunction(state_->instance.get(), wrap(function));
  const Signature wanted(parameters, results);
  const std::string guest = "guest '" + state_->name + "'";
  if (found == nullptr) {
    return Error{Errc::kInvalidEncoding,
                 guest + " does not export the function '" + function + "' " + wanted.text()};
  }
  const Signature actual(WasmEdge_FunctionInstanceGetFunctionType(found));
  if (actual == wanted) return {};
  return Error{Errc::kInvalidEncoding, guest + " exports the function '" + function + "' as " +
                                           actual.text() + "; expected " + wanted.text()};
}

GuestMemory Sandbox::memory() const {
  return GuestMemory(bytes_of(WasmEdge_ModuleInstanceFindMemory(state_->instance.get(), wrap("memory"))));
}

}  // namespace wasmgrad::sandbox
