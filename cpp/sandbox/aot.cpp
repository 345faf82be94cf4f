#include "wasmgrad/sandbox/aot.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/sha256.hpp"
#include "wasmgrad/sandbox/recent_files.hpp"

namespace wasmgrad::sandbox {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMaxCompiledBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxCacheBytes = std::uint64_t{2} << 30;

// What the engine generates code for: the same wasm gives another library on another processor.
std::string cpu_identity() {
  std::ifstream info("/proc/cpuinfo");
  std::string identity;
  for (std::string line; std::getline(info, line) && !line.empty();) {
    if (line.starts_with("model name") || line.starts_with("flags") || line.starts_with("Features"))
      identity += line;
  }
  return identity;
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string cache_key(std::span<const std::byte> module) {
  Sha256 hash;
  hash.update(bytes_of("wasmgrad aot 1\n")).update(bytes_of(WasmEdge_VersionGet()));
  hash.update(bytes_of("\n")).update(bytes_of(cpu_identity())).update(bytes_of("\n")).update(module);
  return to_hex(hash.finish());
}

// A library whose last 32 bytes are the digest of all before them; ELF loaders ignore what follows the
// sections.
bool is_intact(const fs::path& path) {
  const auto contents = read_file(path, kMaxCompiledBytes);
  if (!contents || contents->size() <= sizeof(Sha256::Digest)) return false;
  const std::span<const std::byte> all(*contents);
  const auto digest = Sha256().update(all.first(all.size() - sizeof(Sha256::Digest))).finish();
  return std::ranges::equal(digest, all.last(sizeof(Sha256::Digest)));
}

Status compile_to(const fs::path& path, std::span<const std::byte> module,
                  const WasmEdge_ConfigureContext* configure) {
  const Compiler compiler(WasmEdge_CompilerCreate(configure));
  if (!compiler) return Error{Errc::kUnsupportedOperation, "this WasmEdge was built without its compiler"};
  const WasmEdge_Result result = WasmEdge_CompilerCompileFromBuffer(
      compiler.get(), reinterpret_cast<const std::uint8_t*>(module.data()), module.size(), path.c_str());
  if (WasmEdge_ResultOK(result) && fs::exists(path)) return {};
  return Error{Errc::kRuntimeError, "cannot compile the guest to " + path.string() + ": " +
                                        std::string(WasmEdge_ResultGetMessage(result))};
}

}  // namespace

Expected<CompiledGuest> compile_guest(std::span<const std::byte> module,
                                      const WasmEdge_ConfigureContext* configure, const fs::path& cache) {
  // The compiler leaves its own files beside its result when it is killed.
  const char* const name = "guest.so";
  std::error_code error;
  if (cache.empty()) {
    WASMGRAD_ASSIGN(ScratchDirectory scratch, ScratchDirectory::make(fs::temp_directory_path(error)));
    const fs::path library = scratch.path() / name;
    WASMGRAD_CHECK(compile_to(library, module, configure));
    return CompiledGuest{library, std::move(scratch)};
  }
  // Libraries in the cache are loaded into the process: nobody else may write there.
  if (fs::create_directories(cache, error); !error) fs::permissions(cache, fs::perms::owner_all, error);
  if (error) {
    return Error{Errc::kRuntimeError,
                 "cannot use the cache directory " + cache.string() + ": " + error.message()};
  }
  const fs::path cached = cache / (cache_key(module) + ".so");
  mark_used(cached);  // before it is looked at: another process may be about to remove what is old
  if (is_intact(cached)) return CompiledGuest{cached, std::nullopt};

  WASMGRAD_ASSIGN(const ScratchDirectory scratch, ScratchDirectory::make(cache));
  const fs::path fresh = scratch.path() / name;
  WASMGRAD_CHECK(compile_to(fresh, module, configure));
  WASMGRAD_ASSIGN(std::vector<std::byte> contents, read_file(fresh, kMaxCompiledBytes));
  const auto digest = Sha256().update(contents).finish();
  contents.insert(contents.end(), digest.begin(), digest.end());
  WASMGRAD_CHECK(write_file_atomic(cached, contents));
  keep_recent(cache, ".so", kMaxCacheBytes);
  return CompiledGuest{cached, std::nullopt};
}

}  // namespace wasmgrad::sandbox
