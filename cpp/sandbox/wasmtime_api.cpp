#include "wasmgrad/sandbox/wasmtime_api.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <string_view>

namespace wasmgrad::sandbox::wasmtime {

namespace {

// Major versions whose layouts and signatures are those of the header.
constexpr std::string_view kTestedVersions[] = {"50"};

constexpr std::array<std::uint8_t, 8> kEmptyModule{0, 'a', 's', 'm', 1, 0, 0, 0};

// The library has no function for it, but compiled code begins with the version that made it: the first
// section of the ELF file is a zero byte, a length and the major version.
std::string_view version_in(const Bytes& compiled) {
  constexpr std::size_t kAt = 64;  // after the ELF header
  if (compiled.size < kAt + 2 || compiled.data[kAt] != 0) return {};
  const auto length = static_cast<std::uint8_t>(compiled.data[kAt + 1]);
  if (length > 16 || compiled.size < kAt + 2 + length) return {};
  return {compiled.data + kAt + 2, length};
}

// Uses only what has been the same in all versions of the C API.
Expected<std::string> version_of(const Api& api) {
  const Error unknown{Errc::kUnsupportedOperation, "it does not tell its version"};
  const Deleter deleter{&api};
  const Owned<Engine> engine(api.wasm_engine_new_with_config(api.wasm_config_new()), deleter);
  Module* raw = nullptr;
  if (const Owned<Failure> failure(
          api.wasmtime_module_new(engine.get(), kEmptyModule.data(), kEmptyModule.size(), &raw), deleter);
      failure) {
    return unknown;
  }
  const Owned<Module> module(raw, deleter);
  Bytes compiled{};
  if (const Owned<Failure> failure(api.wasmtime_module_serialize(module.get(), &compiled), deleter); failure)
    return unknown;
  const std::string version(version_in(compiled));
  api.wasm_byte_vec_delete(&compiled);
  return version.empty() ? Expected<std::string>(unknown) : version;
}

Expected<Api> open_library(const std::string& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    return Error{Errc::kNotFound, "the engine wasmtime cannot be loaded: " +
                                      std::string(why != nullptr ? why : library.c_str()) +
                                      "; install it with `pip install wasmtime`"};
  }
  const auto refuse = [&](const std::string& why) {
    return Error{Errc::kUnsupportedOperation,
                 "'" + library + "' is not a wasmtime that wasmgrad has been tested with: " + why};
  };
  Api api;
  const char* missing = nullptr;
#define WASMGRAD_WASMTIME_FIND(name, result, parameters)                   \
  api.name = reinterpret_cast<decltype(api.name)>(::dlsym(handle, #name)); \
  if (api.name == nullptr) missing = #name;
  WASMGRAD_WASMTIME_FUNCTIONS(WASMGRAD_WASMTIME_FIND)
#undef WASMGRAD_WASMTIME_FIND
  if (missing != nullptr) return refuse("it has no function " + std::string(missing));
  const auto version = version_of(api);
  if (!version) return refuse(version.error().message);
  if (std::ranges::find(kTestedVersions, *version) != std::end(kTestedVersions)) return api;
  std::string tested;
  for (const std::string_view one : kTestedVersions)
    tested += (tested.empty() ? "" : ", ") + std::string(one);
  return refuse("its version is " + *version + "; expected " + tested);
}

// The last line, which names the cause.
std::string take_reason(const Api& api, Bytes message) {
  std::string_view text(message.data, message.size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0' || text.back() == ' '))
    text.remove_suffix(1);
  if (const std::size_t line = text.rfind('\n'); line != std::string_view::npos) text.remove_prefix(line + 1);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  constexpr std::string_view kNumbered = "0: ", kTrap = "wasm trap: ";
  if (text.starts_with(kNumbered)) text.remove_prefix(kNumbered.size());
  if (text.starts_with(kTrap)) text.remove_prefix(kTrap.size());
  std::string result(text);
  api.wasm_byte_vec_delete(&message);
  return result;
}

}  // namespace

Expected<const Api*> load_api(const std::filesystem::path& library) {
  static std::mutex mutex;
  static std::map<std::string, Api> loaded;
  const std::lock_guard lock(mutex);
  const std::string name = library.empty() ? "libwasmtime.so" : library.string();
  if (const auto found = loaded.find(name); found != loaded.end()) return &found->second;
  WASMGRAD_ASSIGN(const Api api, open_library(name));
  return &loaded.emplace(name, api).first->second;
}

std::string reason(const Api& api, const Failure& failure) {
  Bytes message{};
  api.wasmtime_error_message(&failure, &message);
  return take_reason(api, message);
}

std::string reason(const Api& api, const Trap& trap) {
  Bytes message{};
  api.wasm_trap_message(&trap, &message);
  return take_reason(api, message);
}

}  // namespace wasmgrad::sandbox::wasmtime
