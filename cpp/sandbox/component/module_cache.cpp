#include "wasmgrad/sandbox/component/module_cache.hpp"

#include <algorithm>
#include <system_error>
#include <vector>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/sha256.hpp"
#include "wasmgrad/sandbox/recent_files.hpp"
#include "wasmgrad/sandbox/wasmtime_module.hpp"

namespace wasmgrad::sandbox::component {

namespace fs = std::filesystem;
namespace wt = wasmtime;

namespace {

constexpr std::size_t kLeastCached = 65536;  // bytes of a module; smaller ones are compiled as fast as found
constexpr std::uint64_t kMaxCompiledBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxCacheBytes = std::uint64_t{2} << 30;
constexpr const char* kSuffix = ".cwasm";

std::string key(std::span<const std::byte> code) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(std::string_view("wasmgrad component 1\n")))).update(code);
  return to_hex(hash.finish());
}

Sha256::Digest digest(std::span<const std::byte> bytes) { return Sha256().update(bytes).finish(); }

// Nothing when there is none, it is not whole, or the engine does not take it.
wt::Owned<wt::Module> find(const wt::Api& api, wt::Engine& engine, const fs::path& file) {
  mark_used(file);  // before it is looked at: another process may be about to remove what is old
  wt::Owned<wt::Module> module(nullptr, wt::Deleter{&api});
  const auto contents = read_file(file, kMaxCompiledBytes);
  if (!contents || contents->size() <= sizeof(Sha256::Digest)) return module;
  const auto compiled = std::span(*contents).first(contents->size() - sizeof(Sha256::Digest));
  if (!std::ranges::equal(digest(compiled), std::span(*contents).last(sizeof(Sha256::Digest)))) return module;
  wt::Module* raw = nullptr;
  const wt::Owned<wt::Failure> failure(
      api.wasmtime_module_deserialize(&engine, reinterpret_cast<const std::uint8_t*>(compiled.data()),
                                      compiled.size(), &raw),
      wt::Deleter{&api});
  if (!failure) module.reset(raw);
  return module;
}

Status keep(const wt::Api& api, wt::Module& module, const fs::path& file) {
  wt::Bytes compiled{};
  const wt::Owned<wt::Failure> failure(api.wasmtime_module_serialize(&module, &compiled), wt::Deleter{&api});
  if (failure)
    return Error{Errc::kRuntimeError, "cannot keep the compiled guest: " + wt::reason(api, *failure)};
  const auto bytes = std::as_bytes(std::span(compiled.data, compiled.size));
  std::vector<std::byte> contents(bytes.begin(), bytes.end());
  api.wasm_byte_vec_delete(&compiled);
  const auto sum = digest(contents);
  contents.insert(contents.end(), sum.begin(), sum.end());
  return write_file_atomic(file, contents);
}

}  // namespace

Expected<wt::Owned<wt::Module>> compile_cached(const wt::Api& api, wt::Engine& engine,
                                               std::span<const std::byte> code, const std::string& guest,
                                               const fs::path& cache) {
  if (cache.empty() || code.size() < kLeastCached) return wt::compile_module(api, engine, code, guest);
  // What is in the cache runs in this process: nobody else may write there.
  std::error_code error;
  if (fs::create_directories(cache, error); !error) fs::permissions(cache, fs::perms::owner_all, error);
  if (error)
    return Error{Errc::kRuntimeError,
                 "cannot use the cache directory " + cache.string() + ": " + error.message()};
  const fs::path file = cache / (key(code) + kSuffix);
  if (auto found = find(api, engine, file)) return found;
  WASMGRAD_ASSIGN(auto module, wt::compile_module(api, engine, code, guest));
  WASMGRAD_CHECK(keep(api, *module, file));
  keep_recent(cache, kSuffix, kMaxCacheBytes);
  return module;
}

}  // namespace wasmgrad::sandbox::component
