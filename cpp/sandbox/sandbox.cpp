#include "wasmgrad/sandbox/sandbox.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/sandbox/component/component.hpp"
#include "wasmgrad/sandbox/instance.hpp"

namespace wasmgrad::sandbox {

namespace {

bool is_wasm(std::span<const std::byte> module) {
  constexpr std::array<std::byte, 8> kHeader{std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'},
                                             std::byte{1}, std::byte{0},   std::byte{0},   std::byte{0}};
  return module.size() > kHeader.size() && std::equal(kHeader.begin(), kHeader.end(), module.begin());
}

std::string named(const std::string& guest) { return "guest '" + guest + "'"; }

Error component_on_wasmedge(const std::string& guest) {
  return {Errc::kUnsupportedOperation, named(guest) + " is a component, and the engine wasmedge (" +
                                           engine_version() +
                                           ") runs modules only; run it with the engine wasmtime"};
}

}  // namespace

Error guest_too_large(const std::string& guest, std::uint64_t pages, std::uint32_t max_pages) {
  return {Errc::kTooLarge, named(guest) + " needs " + std::to_string(pages) +
                               " pages of memory at its start; at most " + std::to_string(max_pages) +
                               " are allowed"};
}

Error cannot_grant(const Preopen& preopen) {
  return {Errc::kNotFound, "directory '" + preopen.host_path.string() + "', to be given to the guest as '" +
                               preopen.guest_path + "', does not exist"};
}

Error import_refused(const std::string& guest, const std::string& import, const std::string& why) {
  return {Errc::kUnsupportedOperation, named(guest) + " imports " + import + why};
}

Error proposal_refused(const std::string& guest, const std::string& proposal) {
  return {Errc::kUnsupportedOperation, named(guest) + " uses the " + proposal +
                                           " proposal of WebAssembly, which this host does not enable"};
}

Error guest_invalid(const std::string& guest, const std::string& reason) {
  return {Errc::kInvalidEncoding, named(guest) + " is not a valid WebAssembly module: " + printable(reason)};
}

Error guest_trapped(const std::string& guest, const std::string& reason) {
  return {Errc::kRuntimeError, named(guest) + " trapped: " + printable(reason)};
}

Error not_exported(const std::string& guest, const std::string& function) {
  return {Errc::kNotFound, named(guest) + " does not export a function '" + function + "'"};
}

Expected<Sandbox> Sandbox::create(SandboxConfig config) {
  // Engines also accept native libraries and text, from anybody: a guest is wasm or nothing.
  const bool is_component = component::is_component(config.module) && !config.compute_only;
  if (!is_component && !is_wasm(config.module))
    return Error{Errc::kInvalidEncoding, named(config.name) + " is not a WebAssembly module"};
  for (const Preopen& preopen : config.preopens) {
    std::error_code error;
    if (!std::filesystem::is_directory(preopen.host_path, error)) return cannot_grant(preopen);
  }
  std::string name = config.name;
  const bool in_wasmtime = config.engine == EngineKind::kWasmtime;
  if (is_component && !in_wasmtime) return component_on_wasmedge(name);
  WASMGRAD_ASSIGN(auto instance, is_component  ? make_component_instance(std::move(config))
                                 : in_wasmtime ? make_wasmtime_instance(std::move(config))
                                               : make_wasmedge_instance(std::move(config)));
  return Sandbox(std::move(name), std::move(instance));
}

Sandbox::Sandbox(std::string name, std::unique_ptr<Instance> instance)
    : name_(std::move(name)), instance_(std::move(instance)) {}
Sandbox::Sandbox(Sandbox&&) noexcept = default;
Sandbox& Sandbox::operator=(Sandbox&&) noexcept = default;
Sandbox::~Sandbox() = default;

Expected<std::uint32_t> Sandbox::run() { return instance_->run(); }

Expected<std::vector<Value>> Sandbox::call(const std::string& function, std::span<const Value> arguments) {
  WASMGRAD_ASSIGN(const Signature signature, check_call(function, arguments.size()));
  return instance_->call(function, signature, arguments);
}

Expected<Signature> Sandbox::check_call(const std::string& function, std::size_t arguments) const {
  auto signature = instance_->find(function);
  if (!signature) return not_exported(name_, function);
  if (signature->parameters.size() != arguments) {
    return Error{Errc::kInvalidArgument, "function '" + function + "' takes " + signature->text() + ", but " +
                                             std::to_string(arguments) + " arguments were given"};
  }
  if (signature->is_plain()) return *std::move(signature);
  return Error{Errc::kInvalidArgument,
               "function '" + function + "' uses types other than i32, i64, f32 and f64"};
}

Status Sandbox::check_export(const std::string& function, const std::vector<ValueType>& parameters,
                             const std::vector<ValueType>& results) const {
  const auto actual = instance_->find(function);
  const Signature wanted(parameters, results);
  if (!actual) {
    return Error{Errc::kInvalidEncoding,
                 named(name_) + " does not export the function '" + function + "' " + wanted.text()};
  }
  if (*actual == wanted) return {};
  return Error{Errc::kInvalidEncoding, named(name_) + " exports the function '" + function + "' as " +
                                           actual->text() + "; expected " + wanted.text()};
}

GuestMemory Sandbox::memory() const { return instance_->memory(); }

}  // namespace wasmgrad::sandbox
