// A guest on WasmEdge.
#include <algorithm>
#include <map>
#include <utility>

#include "wasmgrad/sandbox/aot.hpp"
#include "wasmgrad/sandbox/engine.hpp"
#include "wasmgrad/sandbox/handle_quota.hpp"
#include "wasmgrad/sandbox/host_module.hpp"
#include "wasmgrad/sandbox/import_section.hpp"
#include "wasmgrad/sandbox/instance.hpp"
#include "wasmgrad/sandbox/relaxed_simd.hpp"
#include "wasmgrad/sandbox/type_section.hpp"
#include "wasmgrad/sandbox/values.hpp"
#include "wasmgrad/sandbox/wasmedge_guard.hpp"

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

// Parses and validates; the error of a module that is valid under a refused proposal names the proposal.
Expected<AstModule> parse_guest(const SandboxConfig& config, WasmEdge_ConfigureContext* configure) {
  if (declares_gc_types(config.module)) return proposal_refused(config.name, "garbage collection");
  auto ast = parse(configure, config.module);
  if (ast) return ast;
  for (const Proposal& proposal : kRefusedProposals) {
    const Configure wider = make_configure(config.max_memory_pages, true);
    WasmEdge_ConfigureAddProposal(wider.get(), proposal.id);
    // Garbage collection is defined on top of function references.
    if (proposal.id == WasmEdge_Proposal_GC) {
      WasmEdge_ConfigureAddProposal(wider.get(), WasmEdge_Proposal_FunctionReferences);
    }
    if (parse(wider.get(), config.module)) return proposal_refused(config.name, proposal.name);
  }
  return guest_invalid(config.name, ast.error().message);
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

namespace {

class WasmEdgeInstance final : public Instance {
 public:
  static Expected<std::unique_ptr<Instance>> create(SandboxConfig config);

  Expected<std::uint32_t> run() override;
  Expected<std::vector<Value>> call(const std::string& function, const Signature& signature,
                                    std::span<const Value> arguments) override;
  [[nodiscard]] std::optional<Signature> find(const std::string& function) const override;
  [[nodiscard]] GuestMemory memory() const override;

 private:
  explicit WasmEdgeInstance(const SandboxConfig& config)
      : name_(config.name), compute_only_(config.compute_only), handles_(config.max_handles) {}
  Status add_functions(std::vector<HostFunction> functions);
  Status add_wasi(const SandboxConfig& config);
  Status check_imports() const;
  Status check_memory(std::uint32_t max_pages) const;
  Status guard_directories(SandboxConfig& config);
  Status compile(const SandboxConfig& config);
  Status instantiate();

  std::string name_;
  bool compute_only_;
  HandleQuota handles_;
  std::optional<Error> failure_;  // of the host function that trapped
  Configure configure_;
  Store store_;
  std::vector<ModuleInstance> host_modules_;
  ModuleInstance wasi_;
  Executor executor_;
  std::optional<CompiledGuest> compiled_;
  AstModule ast_;
  ModuleInstance instance_;
  std::unique_ptr<WasmEdgeGuard> guard_;  // for a guest with read-only directories
};

// Registers the functions, one engine module for each module name.
Status WasmEdgeInstance::add_functions(std::vector<HostFunction> functions) {
  std::map<std::string, std::vector<HostFunction>> modules;
  for (HostFunction& function : functions) {
    if (function.opens_files) {
      function.call = [this, call = std::move(function.call)](GuestMemory memory, auto arguments,
                                                              auto results) {
        handles_.leave_guest();
        Status status = call(memory, arguments, results);
        handles_.enter_guest();
        return status;
      };
    }
    modules[function.module].push_back(std::move(function));
  }
  for (auto& [module_name, members] : modules) {
    WASMGRAD_ASSIGN(
        ModuleInstance module,
        make_host_module(module_name, std::move(members), [this](const Error& error) { failure_ = error; }));
    const WasmEdge_Result result =
        WasmEdge_ExecutorRegisterImport(executor_.get(), store_.get(), module.get());
    if (!WasmEdge_ResultOK(result)) {
      return Error{Errc::kInvalidArgument, "cannot register the host functions of '" + module_name +
                                               "': " + std::string(WasmEdge_ResultGetMessage(result))};
    }
    host_modules_.push_back(std::move(module));
  }
  return {};
}

Status WasmEdgeInstance::add_wasi(const SandboxConfig& config) {
  std::vector<std::string> preopens;
  for (const Preopen& preopen : config.preopens) {
    const std::string host = preopen.host_path.string();
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
  wasi_.reset(WasmEdge_ModuleInstanceCreateWASI(args.data(), static_cast<std::uint32_t>(args.size()),
                                                env.data(), static_cast<std::uint32_t>(env.size()),
                                                dirs.data(), static_cast<std::uint32_t>(dirs.size())));
  const WasmEdge_Result result = WasmEdge_ExecutorRegisterImport(executor_.get(), store_.get(), wasi_.get());
  if (WasmEdge_ResultOK(result)) return {};
  return Error{Errc::kRuntimeError,
               "cannot register WASI: " + std::string(WasmEdge_ResultGetMessage(result))};
}

Status WasmEdgeInstance::check_imports() const {
  std::vector<const WasmEdge_ImportTypeContext*> imports(WasmEdge_ASTModuleListImportsLength(ast_.get()));
  WasmEdge_ASTModuleListImports(ast_.get(), imports.data(), static_cast<std::uint32_t>(imports.size()));
  for (const auto* import : imports) {
    const auto module_name = WasmEdge_ImportTypeGetModuleName(import);
    const auto name = WasmEdge_ImportTypeGetExternalName(import);
    const std::string what = std::string(view(module_name)) + "." + std::string(view(name));
    const auto refuse = [&](const std::string& why) { return import_refused(name_, what, why); };
    if (compute_only_) return refuse(", but a module of its kind must not import anything");
    if (WasmEdge_ImportTypeGetExternalType(import) != WasmEdge_ExternalType_Function) {
      return refuse(", which is not a function; this host provides functions only");
    }
    if (view(module_name) == kWasiModule && reaches_network(view(name))) {
      return refuse(", which reaches the network; this host gives guests none");
    }
    const auto* module = WasmEdge_StoreFindModule(store_.get(), module_name);
    const auto* function = module != nullptr ? WasmEdge_ModuleInstanceFindFunction(module, name) : nullptr;
    if (function == nullptr) return refuse(", which this host does not provide");
    const Signature wanted = signature_of(WasmEdge_ImportTypeGetFunctionType(ast_.get(), import));
    const Signature provided = signature_of(WasmEdge_FunctionInstanceGetFunctionType(function));
    if (wanted != provided) {
      return refuse(" as " + wanted.text() + ", but this host provides " + provided.text());
    }
  }
  return {};
}

Status WasmEdgeInstance::check_memory(std::uint32_t max_pages) const {
  std::vector<const WasmEdge_ExportTypeContext*> exports(WasmEdge_ASTModuleListExportsLength(ast_.get()));
  WasmEdge_ASTModuleListExports(ast_.get(), exports.data(), static_cast<std::uint32_t>(exports.size()));
  for (const auto* item : exports) {
    if (WasmEdge_ExportTypeGetExternalType(item) != WasmEdge_ExternalType_Memory) continue;
    const WasmEdge_Limit limit =
        WasmEdge_MemoryTypeGetLimit(WasmEdge_ExportTypeGetMemoryType(ast_.get(), item));
    if (limit.Min > max_pages) return guest_too_large(name_, limit.Min, max_pages);
  }
  return {};
}

// Puts the guard between the guest and those functions of WASI that could change a read-only directory.
Status WasmEdgeInstance::guard_directories(SandboxConfig& config) {
  if (std::ranges::none_of(config.preopens, &Preopen::read_only)) return {};
  auto moved =
      with_imports_moved(config.module, kWasiModule, WasmEdgeGuard::kModule, [](std::string_view name) {
        return std::ranges::any_of(guarded_wasi_functions(),
                                   [&](const auto& guarded) { return guarded.name == name; });
      });
  if (!moved) return {};
  config.module = std::move(*moved);
  WASMGRAD_ASSIGN(ast_, parse(configure_.get(), config.module));
  guard_ = std::make_unique<WasmEdgeGuard>(configure_.get(), executor_.get(), store_.get());
  WASMGRAD_CHECK(guard_->find_directories());
  return add_functions(guard_->functions());
}

Status WasmEdgeInstance::compile(const SandboxConfig& config) {
  WASMGRAD_ASSIGN(CompiledGuest guest, compile_guest(config.module, configure_.get(), config.aot_cache));
  const Loader loader(WasmEdge_LoaderCreate(configure_.get()));
  const Validator validator(WasmEdge_ValidatorCreate(configure_.get()));
  WasmEdge_ASTModuleContext* raw = nullptr;
  WasmEdge_Result result = WasmEdge_LoaderParseFromFile(loader.get(), &raw, guest.path.c_str());
  ast_.reset(raw);
  compiled_.emplace(std::move(guest));
  if (WasmEdge_ResultOK(result)) result = WasmEdge_ValidatorValidate(validator.get(), ast_.get());
  if (WasmEdge_ResultOK(result)) return {};
  return Error{Errc::kRuntimeError, "cannot load the compiled guest '" + name_ +
                                        "': " + std::string(WasmEdge_ResultGetMessage(result))};
}

Status WasmEdgeInstance::instantiate() {
  WasmEdge_ModuleInstanceContext* raw = nullptr;
  handles_.enter_guest();  // a module may have a start function
  const WasmEdge_Result result =
      WasmEdge_ExecutorRegister(executor_.get(), &raw, store_.get(), ast_.get(), wrap(WasmEdgeGuard::kGuest));
  handles_.leave_guest();
  instance_.reset(raw);
  if (WasmEdge_ResultOK(result)) {
    // The engine's WASI works on exported memories only where it is guarded.
    const bool exports_memory = WasmEdge_ModuleInstanceFindMemory(instance_.get(), wrap("memory")) != nullptr;
    if (guard_ && exports_memory) return guard_->connect();
    return {};
  }
  if (failure_) return std::move(*failure_);
  const std::string message = WasmEdge_ResultGetMessage(result);
  return Error{Errc::kRuntimeError, "cannot instantiate guest '" + name_ + "': " + message};
}

Expected<std::unique_ptr<Instance>> WasmEdgeInstance::create(SandboxConfig config) {
  // The engine would log to the standard output, which is the guest's; every failure is reported by its
  // result instead.
  WasmEdge_LogOff();
  std::unique_ptr<WasmEdgeInstance> guest(new WasmEdgeInstance(config));
  guest->configure_ = make_configure(config.max_memory_pages, config.interpret);
  if (config.compute_only) {
    WasmEdge_ConfigureAddProposal(guest->configure_.get(), WasmEdge_Proposal_RelaxSIMD);
    if (auto changed = with_plain_relaxed_results(config.module)) config.module = std::move(*changed);
  }
  WASMGRAD_ASSIGN(guest->ast_, parse_guest(config, guest->configure_.get()));
  guest->store_.reset(WasmEdge_StoreCreate());
  guest->executor_.reset(WasmEdge_ExecutorCreate(guest->configure_.get(), nullptr));
  WASMGRAD_CHECK(guest->add_wasi(config));
  WASMGRAD_CHECK(guest->add_functions(std::move(config.functions)));
  WASMGRAD_CHECK(guest->check_imports());
  WASMGRAD_CHECK(guest->check_memory(config.max_memory_pages));
  WASMGRAD_CHECK(guest->guard_directories(config));
  if (!config.interpret) WASMGRAD_CHECK(guest->compile(config));
  WASMGRAD_CHECK(guest->instantiate());
  return std::unique_ptr<Instance>(std::move(guest));
}

Expected<std::uint32_t> WasmEdgeInstance::run() {
  if (find("_start") != Signature()) return not_exported(name_, "_start");
  WASMGRAD_CHECK(call("_start", {}, {}));
  return WasmEdge_ModuleInstanceWASIGetExitCode(wasi_.get());
}

Expected<std::vector<Value>> WasmEdgeInstance::call(const std::string& function, const Signature& signature,
                                                    std::span<const Value> arguments) {
  const auto* target = WasmEdge_ModuleInstanceFindFunction(instance_.get(), wrap(function));
  std::vector<WasmEdge_Value> in, out(signature.results.size());
  for (std::size_t i = 0; i < arguments.size(); ++i)
    in.push_back(to_engine(arguments[i], *signature.parameters[i]));
  failure_.reset();
  handles_.enter_guest();
  const WasmEdge_Result result =
      WasmEdge_ExecutorInvoke(executor_.get(), target, in.data(), static_cast<std::uint32_t>(in.size()),
                              out.data(), static_cast<std::uint32_t>(out.size()));
  handles_.leave_guest();
  if (failure_) return *std::exchange(failure_, std::nullopt);
  if (!WasmEdge_ResultOK(result)) return guest_trapped(name_, WasmEdge_ResultGetMessage(result));
  std::vector<Value> values;
  for (std::size_t i = 0; i < out.size(); ++i) values.push_back(from_engine(out[i], *signature.results[i]));
  return values;
}

std::optional<Signature> WasmEdgeInstance::find(const std::string& function) const {
  const auto* found = WasmEdge_ModuleInstanceFindFunction(instance_.get(), wrap(function));
  if (found == nullptr) return std::nullopt;
  return signature_of(WasmEdge_FunctionInstanceGetFunctionType(found));
}

GuestMemory WasmEdgeInstance::memory() const {
  return GuestMemory(bytes_of(WasmEdge_ModuleInstanceFindMemory(instance_.get(), wrap("memory"))));
}

}  // namespace

Expected<std::unique_ptr<Instance>> make_wasmedge_instance(SandboxConfig config) {
  return WasmEdgeInstance::create(std::move(config));
}

}  // namespace wasmgrad::sandbox
