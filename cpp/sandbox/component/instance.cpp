// A guest that is a component: its core modules in one store of wasmtime, under the limits of a module.
#include "wasmgrad/sandbox/instance.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "wasmgrad/sandbox/component/component.hpp"
#include "wasmgrad/sandbox/component/linker.hpp"
#include "wasmgrad/sandbox/component/module_cache.hpp"
#include "wasmgrad/sandbox/component/module_memory.hpp"
#include "wasmgrad/sandbox/wasi2/wasi.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"
#include "wasmgrad/sandbox/wasmtime_module.hpp"
#include "wasmgrad/sandbox/wasmtime_values.hpp"

namespace wasmgrad::sandbox {

namespace {

namespace wt = wasmtime;
using wt::Api;
using wt::Owned;

constexpr std::uint64_t kPageBytes = 65536;
constexpr std::int64_t kMaxInstances = 256;
// As for modules, though several modules share them.
constexpr std::int64_t kMaxTables = 8;
constexpr std::int64_t kMaxTableElements = std::int64_t{1} << 20;
constexpr std::int64_t kMaxMemories = 8;
constexpr std::size_t kMaxValues = 32;
constexpr std::string_view kRun = "wasi:cli/run@0.2.";

std::string_view view(const wt::Bytes& bytes) { return {bytes.data, bytes.size}; }

Signature signature_from(std::string_view type) {
  const auto types = [](std::string_view letters) {
    std::vector<ValueType> result;
    for (const char letter : letters) result.push_back(letter == 'I' ? ValueType::kI64 : ValueType::kI32);
    return result;
  };
  const std::size_t arrow = type.find('>');
  return {types(type.substr(0, arrow)), types(type.substr(arrow + 1))};
}

class ComponentInstance final : public Instance, private component::Engine {
 public:
  static Expected<std::unique_ptr<Instance>> create(SandboxConfig config);

  Expected<std::uint32_t> run() override;
  Expected<std::vector<Value>> call(const std::string& function, const Signature& /*signature*/,
                                    std::span<const Value> /*arguments*/) override {
    return not_exported(name_, function);
  }
  /// Its exports are functions of interfaces, which are called by run() only.
  [[nodiscard]] std::optional<Signature> find(const std::string& /*function*/) const override {
    return std::nullopt;
  }
  [[nodiscard]] GuestMemory memory() const override { return memory_ ? bytes_of(*memory_) : GuestMemory({}); }

 private:
  // A core function of the host's that a module imports. Its address stays in compiled code.
  struct Binding {
    ComponentInstance* guest;
    component::CoreFunction function;
    Signature signature;
  };
  class Caller;

  ComponentInstance(const Api& api, const SandboxConfig& config)
      : api_(api), name_(config.name), cache_(config.aot_cache), max_pages_(config.max_memory_pages) {}

  Expected<wt::Instance> instantiate(const component::CoreModule& module, const Find& find) override;
  std::optional<wt::Extern> find_export(const wt::Instance& instance, std::string_view name) override;
  bool has_type(const wt::Func& function, std::string_view type) override;

  static wt::Trap* call_host(void* data, wt::Caller* caller, wt::RawValue* values, std::size_t count);
  Status call_lowered(const component::LoweredFunction& lowered, const Signature& signature,
                      wt::RawValue* values);
  Expected<wt::Extern> resolve(const component::Item& item, const wt::ImportType* import);
  Expected<std::span<const std::byte>> check_memory(std::span<const std::byte> module,
                                                    std::vector<std::byte>& fixed);
  void remember_memory(const wt::Instance& instance);
  Status call_core(const wt::Func& function, std::span<wt::RawValue> values);
  Status ended(wt::Failure* raw_failure, wt::Trap* raw_trap);
  [[nodiscard]] GuestMemory bytes_of(const wt::Memory& memory) const {
    return GuestMemory({reinterpret_cast<std::byte*>(api_.wasmtime_memory_data(context_, &memory)),
                        api_.wasmtime_memory_data_size(context_, &memory)});
  }
  Owned<wt::Failure> own(wt::Failure* failure) const { return {failure, wt::Deleter{&api_}}; }

  const Api& api_;
  std::string name_;
  std::filesystem::path cache_;
  std::uint32_t max_pages_;
  std::vector<std::byte> code_;
  std::unique_ptr<wasi2::Wasi> wasi_;
  ComponentImports imports_;
  std::vector<std::unique_ptr<Binding>> bindings_;  // outlive the store, which has their addresses
  std::optional<Error> failure_;                    // of the host function that trapped
  bool may_leave_ = true;                           // not while the guest allocates for a result
  bool has_memory_ = false;                         // one that can grow
  Owned<wt::Engine> engine_;
  std::vector<Owned<wt::Module>> modules_;
  Owned<wt::StoreData> store_;
  wt::Context* context_ = nullptr;
  std::optional<wt::Memory> memory_;
  std::optional<wt::Func> run_, post_run_;
};

// What a host function is given of the guest.
class ComponentInstance::Caller final : public ComponentCaller {
 public:
  Caller(ComponentInstance& guest, const component::LoweredFunction& lowered)
      : guest_(guest), lowered_(lowered) {}

  GuestMemory memory() override {
    return lowered_.memory ? guest_.bytes_of(*lowered_.memory) : GuestMemory({});
  }

  Expected<std::uint32_t> allocate(std::uint64_t bytes, std::uint32_t alignment) override {
    if (bytes > UINT32_MAX) {
      return Error{Errc::kTooLarge,
                   "a result has " + std::to_string(bytes) + " bytes, more than a guest can address"};
    }
    if (!lowered_.realloc) return invalid("the component passes no allocator for a result that needs one");
    std::array<wt::RawValue, 4> values{};
    values[2].i64 = alignment;
    values[3].i64 = static_cast<std::int64_t>(bytes);
    guest_.may_leave_ = false;
    const Status done = guest_.call_core(*lowered_.realloc, values);
    guest_.may_leave_ = true;
    if (!done) return done.error();
    const auto address = static_cast<std::uint32_t>(values[0].i32);
    WASMGRAD_CHECK(memory().bytes(address, bytes, "what the guest's allocator gave"));
    if (address % alignment != 0)
      return invalid("what the guest's allocator gave is not aligned to " + std::to_string(alignment) +
                     " bytes");
    return address;
  }

 private:
  ComponentInstance& guest_;
  const component::LoweredFunction& lowered_;
};

Status ComponentInstance::call_lowered(const component::LoweredFunction& lowered, const Signature& signature,
                                       wt::RawValue* values) {
  std::array<Value, kMaxValues> arguments, results;
  const auto& [parameters, result_types] = signature;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    arguments[i] = wt::from_engine(values[i], *parameters[i]);
  Caller caller(*this, lowered);
  WASMGRAD_CHECK(lowered.function->call(caller, std::span(arguments).first(parameters.size()),
                                        std::span(results).first(result_types.size())));
  for (std::size_t i = 0; i < result_types.size(); ++i)
    values[i] = wt::to_engine(results[i], *result_types[i]);
  return {};
}

wt::Trap* ComponentInstance::call_host(void* data, wt::Caller* /*caller*/, wt::RawValue* values,
                                       std::size_t /*count*/) {
  const auto& binding = *static_cast<const Binding*>(data);
  ComponentInstance& guest = *binding.guest;
  const auto call = [&]() -> Status {
    if (const auto* trap = std::get_if<component::TrapFunction>(&binding.function))
      return Error{Errc::kUnsupportedOperation, trap->sentence};
    if (!guest.may_leave_) return invalid("the guest's allocator called a function of the host");
    if (const auto* drop = std::get_if<component::DropFunction>(&binding.function)) {
      if (drop->resource != nullptr) return drop->resource->drop(static_cast<std::uint32_t>(values[0].i32));
      return invalid("the guest dropped a handle of a resource that this host does not have");
    }
    return guest.call_lowered(std::get<component::LoweredFunction>(binding.function), binding.signature,
                              values);
  };
  const Status status = call();
  if (status) return nullptr;
  // The first failure of several is the cause: those around it only pass it on.
  if (!guest.failure_) guest.failure_ = status.error();
  const std::string& message = status.error().message;
  return guest.api_.wasmtime_trap_new(message.data(), message.size());
}

Expected<wt::Extern> ComponentInstance::resolve(const component::Item& item, const wt::ImportType* import) {
  const auto refuse = [&](const std::string& why) {
    return import_refused(name_,
                          std::string(view(*api_.wasm_importtype_module(import))) + "." +
                              std::string(view(*api_.wasm_importtype_name(import))),
                          why);
  };
  if (const auto* other = std::get_if<wt::Extern>(&item)) return *other;
  const auto* function = std::get_if<component::CoreFunction>(&item);
  if (function == nullptr) return refuse(", which it is given something else for");
  wt::Extern result{};
  result.kind = wt::kExternFunc;
  if (const auto* core = std::get_if<wt::Func>(function)) {
    result.of.func = *core;
    return result;
  }
  const wt::ExternType* type = api_.wasm_importtype_type(import);
  if (api_.wasm_externtype_kind(type) != wt::kExternFunc) return refuse(", which is not a function");
  const wt::FuncType* function_type = api_.wasm_externtype_as_functype_const(type);
  const Signature wanted = wt::signature_of(api_, function_type);
  std::optional<Signature> provided;
  if (const auto* lowered = std::get_if<component::LoweredFunction>(function))
    provided = Signature(lowered->function->parameters, lowered->function->results);
  if (std::holds_alternative<component::DropFunction>(*function)) provided = signature_from("i>");
  if (provided && *provided != wanted)
    return refuse(" as " + wanted.text() + ", but this host provides " + provided->text());
  bindings_.push_back(std::make_unique<Binding>(Binding{this, *function, wanted}));
  api_.wasmtime_func_new_unchecked(context_, function_type, call_host, bindings_.back().get(), nullptr,
                                   &result.of.func);
  return result;
}

// A guest has one memory that can grow, so that its limit is that of all. Modules that define another one to
// satisfy a format, of no pages, keep it so.
Expected<std::span<const std::byte>> ComponentInstance::check_memory(std::span<const std::byte> module,
                                                                     std::vector<std::byte>& fixed) {
  const auto pages = component::memory_pages(module);
  if (!pages) return module;
  if (*pages > max_pages_) return guest_too_large(name_, *pages, max_pages_);
  if (*pages == 0) {
    fixed = component::with_fixed_memory(module);
    return std::span<const std::byte>(fixed);
  }
  if (std::exchange(has_memory_, true))
    return Error{Errc::kUnsupportedOperation,
                 "guest '" + name_ + "' has several memories; this host runs components with one"};
  return module;
}

Expected<wt::Instance> ComponentInstance::instantiate(const component::CoreModule& module, const Find& find) {
  std::vector<std::byte> fixed;
  WASMGRAD_ASSIGN(const auto code, check_memory(module.bytes, fixed));
  WASMGRAD_ASSIGN(auto compiled, component::compile_cached(api_, *engine_, code, name_, cache_));
  modules_.push_back(std::move(compiled));
  wt::Vector<wt::ImportType> imports{};
  api_.wasmtime_module_imports(modules_.back().get(), &imports);
  const auto free_imports = [this](auto* vector) { api_.wasm_importtype_vec_delete(vector); };
  const std::unique_ptr<decltype(imports), decltype(free_imports)> owned(&imports, free_imports);
  std::vector<wt::Extern> given;
  for (std::size_t i = 0; i < imports.size; ++i) {
    const wt::ImportType* import = imports.data[i];
    WASMGRAD_ASSIGN(const component::Item item, find(view(*api_.wasm_importtype_module(import)),
                                                     view(*api_.wasm_importtype_name(import))));
    WASMGRAD_ASSIGN(const wt::Extern resolved, resolve(item, import));
    given.push_back(resolved);
  }
  wt::Instance instance{};
  wt::Trap* trap = nullptr;
  wt::Failure* failure = api_.wasmtime_instance_new(context_, modules_.back().get(), given.data(),
                                                    given.size(), &instance, &trap);
  WASMGRAD_CHECK(ended(failure, trap));
  remember_memory(instance);
  return instance;
}

// For what the owner is told that the guest used.
void ComponentInstance::remember_memory(const wt::Instance& instance) {
  const auto found = find_export(instance, "memory");
  if (!found || found->kind != wt::kExternMemory) return;
  const wt::Memory& memory = found->of.memory;
  if (!memory_ || bytes_of(*memory_).size() < bytes_of(memory).size()) memory_ = memory;
}

std::optional<wt::Extern> ComponentInstance::find_export(const wt::Instance& instance,
                                                         std::string_view name) {
  wt::Extern item{};
  if (!api_.wasmtime_instance_export_get(context_, &instance, name.data(), name.size(), &item))
    return std::nullopt;
  return item;
}

bool ComponentInstance::has_type(const wt::Func& function, std::string_view type) {
  const Owned<wt::FuncType> actual(api_.wasmtime_func_type(context_, &function), wt::Deleter{&api_});
  return wt::signature_of(api_, actual.get()) == signature_from(type);
}

// What a call that did not return says; the guest's exit is an error, too.
Status ComponentInstance::ended(wt::Failure* raw_failure, wt::Trap* raw_trap) {
  const auto failure = own(raw_failure);
  const Owned<wt::Trap> trap(raw_trap, wt::Deleter{&api_});
  if (!failure && !trap) return {};
  if (failure_) return *failure_;
  return guest_trapped(name_, failure ? wt::reason(api_, *failure) : wt::reason(api_, *trap));
}

Status ComponentInstance::call_core(const wt::Func& function, std::span<wt::RawValue> values) {
  wt::Trap* trap = nullptr;
  wt::Failure* failure =
      api_.wasmtime_func_call_unchecked(context_, &function, values.data(), values.size(), &trap);
  return ended(failure, trap);
}

Expected<std::unique_ptr<Instance>> ComponentInstance::create(SandboxConfig config) {
  WASMGRAD_ASSIGN(const Api* api, wt::load_api(config.wasmtime_library));
  std::unique_ptr<ComponentInstance> guest(new ComponentInstance(*api, config));
  guest->code_ = std::move(config.module);
  const auto component = component::read_component(guest->code_);
  if (!component)
    return component.error().within("guest '" + config.name + "' is not a component that can be run");
  WASMGRAD_ASSIGN(guest->wasi_, wasi2::Wasi::create(config));
  guest->imports_ = guest->wasi_->imports();
  std::ranges::move(config.component_imports.functions, std::back_inserter(guest->imports_.functions));
  std::ranges::move(config.component_imports.resources, std::back_inserter(guest->imports_.resources));
  guest->engine_ = wt::make_guest_engine(*api, !config.max_handles);
  guest->store_ = {api->wasmtime_store_new(guest->engine_.get(), nullptr, nullptr), wt::Deleter{api}};
  guest->context_ = api->wasmtime_store_context(guest->store_.get());
  api->wasmtime_store_limiter(guest->store_.get(),
                              static_cast<std::int64_t>(config.max_memory_pages * kPageBytes),
                              kMaxTableElements, kMaxInstances, kMaxTables, kMaxMemories);
  component::Linker linker(*guest, guest->imports_, config.name);
  const auto exports = linker.link(*component);
  if (guest->wasi_->exit_code()) return std::unique_ptr<Instance>(std::move(guest));
  if (!exports) return exports.error();
  for (const auto& [name, item] : *exports) {
    const auto* instance = std::get_if<std::shared_ptr<const component::InstanceItem>>(&item);
    if (instance == nullptr || !name.starts_with(kRun)) continue;
    const auto found = (*instance)->items.find("run");
    const auto* function =
        found != (*instance)->items.end() ? std::get_if<component::Function>(&found->second) : nullptr;
    const auto* lifted = function != nullptr ? std::get_if<component::LiftedFunction>(function) : nullptr;
    if (lifted == nullptr || !lifted->function || !guest->has_type(*lifted->function, ">i")) continue;
    guest->run_ = lifted->function;
    if (lifted->post_return && guest->has_type(*lifted->post_return, "i>"))
      guest->post_run_ = lifted->post_return;
  }
  return std::unique_ptr<Instance>(std::move(guest));
}

Expected<std::uint32_t> ComponentInstance::run() {
  if (wasi_->exit_code()) return *wasi_->exit_code();
  if (!run_) return not_exported(name_, "run of wasi:cli/run");
  std::array<wt::RawValue, 1> value{};
  const Status done = call_core(*run_, value);
  if (wasi_->exit_code()) return *wasi_->exit_code();
  if (!done) return done.error();
  const std::uint32_t failed = value[0].i32 == 0 ? 0 : 1;
  if (post_run_) WASMGRAD_CHECK(call_core(*post_run_, value));
  return failed;
}

}  // namespace

Expected<std::unique_ptr<Instance>> make_component_instance(SandboxConfig config) {
  return ComponentInstance::create(std::move(config));
}

}  // namespace wasmgrad::sandbox
