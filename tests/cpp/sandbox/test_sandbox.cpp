// What a guest can and cannot do in a sandbox, and how its failures are told.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "../support.hpp"
#include "wasmgrad/base/address_sanitizer.hpp"
#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::sandbox;
using namespace wasmgrad::test;

namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

// A module of the given sections after the header.
std::vector<std::byte> module_of(std::initializer_list<int> sections) {
  auto module = bytes({0, 'a', 's', 'm', 1, 0, 0, 0});
  const auto body = bytes(sections);
  module.insert(module.end(), body.begin(), body.end());
  return module;
}

std::vector<HostFunction> host_functions() {
  using enum ValueType;
  HostFunction add{
      "host", "add", {kI32, kI32}, {kI32}, [](GuestMemory, auto arguments, auto results) -> Status {
        results[0].i32 = arguments[0].i32 + arguments[1].i32;
        return {};
      }};
  HostFunction refuse{"host", "refuse", {kI32}, {}, [](GuestMemory, auto arguments, auto) -> Status {
                        return Error{Errc::kSecurity, "the host refuses " + std::to_string(arguments[0].i32)};
                      }};
  HostFunction sum{
      "host", "sum", {kI32, kI32}, {kF64}, [](GuestMemory memory, auto arguments, auto results) -> Status {
        results[0].f64 = 0;
        for (std::uint32_t i = 0; i < arguments[1].i32; ++i) {
          WASMGRAD_ASSIGN(const double value, memory.read<double>(arguments[0].i32 + 8 * i, "value"));
          results[0].f64 += value;
        }
        return {};
      }};
  return {add, refuse, sum};
}

// How a guest is run.
struct Compiled {
  static constexpr EngineKind kEngine = EngineKind::kWasmEdge;
  static constexpr bool kInterpret = false;
};
struct Interpreted {
  static constexpr EngineKind kEngine = EngineKind::kWasmEdge;
  static constexpr bool kInterpret = true;
};
struct Wasmtime {
  static constexpr EngineKind kEngine = EngineKind::kWasmtime;
  static constexpr bool kInterpret = false;
};

template <class Way = Compiled>
SandboxConfig probe(std::vector<std::string> args) {
  static const std::vector<std::byte> module = *read_file(PROBE_GUEST, std::uint64_t{1} << 24);
  static const TemporaryDirectory cache;
  SandboxConfig config;
  config.module = module;
  config.name = "probe.wasm";
  config.args = std::move(args);
  config.functions = host_functions();
  config.engine = Way::kEngine;
  config.wasmtime_library = WASMTIME_LIBRARY;
  config.interpret = Way::kInterpret;
  config.aot_cache = cache.path();
  return config;
}

// The exit code of the probe in one mode.
std::uint32_t run_probe(SandboxConfig config) {
  auto sandbox = Sandbox::create(std::move(config));
  REQUIRE_MESSAGE(sandbox, (sandbox ? "" : sandbox.error().message));
  const auto code = sandbox->run();
  REQUIRE_MESSAGE(code, (code ? "" : code.error().message));
  return *code;
}

template <class Way = Compiled>
Error creation_error(std::vector<std::byte> module) {
  SandboxConfig config;
  config.engine = Way::kEngine;
  config.wasmtime_library = WASMTIME_LIBRARY;
  config.module = std::move(module);
  config.name = "bad.wasm";
  return error_of(Sandbox::create(std::move(config)));
}

}  // namespace

TEST_CASE_TEMPLATE("a guest runs and its exit code is returned", Way, Compiled, Interpreted, Wasmtime) {
  CHECK(run_probe(probe<Way>({"exit", "0"})) == 0);
  CHECK(run_probe(probe<Way>({"exit", "7"})) == 7);
  CHECK(run_probe(probe<Way>({"sum"})) == 0);
}

TEST_CASE_TEMPLATE("a guest sees its name, its arguments and the environment it was given, and no other", Way,
                   Compiled, Wasmtime) {
  CHECK(run_probe(probe<Way>({"name", "probe.wasm"})) == 0);
  SandboxConfig config = probe<Way>({"env", "KEY", "VALUE"});
  config.env = {"KEY=VALUE"};
  CHECK(run_probe(std::move(config)) == 0);
  CHECK(run_probe(probe<Way>({"env", "PATH", std::getenv("PATH")})) == 1);
}

TEST_CASE_TEMPLATE("a guest that traps is an error", Way, Compiled, Interpreted, Wasmtime) {
  auto sandbox = Sandbox::create(probe<Way>({"trap"}));
  REQUIRE(sandbox);
  const Error error = error_of(sandbox->run());
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message.starts_with("guest 'probe.wasm' trapped: "));
  CHECK(error.message.find("unreachable") != std::string::npos);
}

TEST_CASE_TEMPLATE("the error of a host function is what run() returns", Way, Compiled, Wasmtime) {
  auto sandbox = Sandbox::create(probe<Way>({"refuse"}));
  REQUIRE(sandbox);
  const Error error = error_of(sandbox->run());
  CHECK(error.code == Errc::kSecurity);
  CHECK(error.message == "the host refuses 7");
}

TEST_CASE_TEMPLATE("exports are called with values and checked", Way, Compiled, Wasmtime) {
  auto sandbox = Sandbox::create(probe<Way>({}));
  REQUIRE(sandbox);
  const std::vector<Value> arguments{{.i32 = 40}, {.i32 = 2}};
  const auto results = sandbox->call("add_in_host", arguments);
  REQUIRE(results);
  REQUIRE(results->size() == 1);
  CHECK((*results)[0].i32 == 42);
  CHECK(error_of(sandbox->call("missing", {})).code == Errc::kNotFound);
  CHECK(error_of(sandbox->call("add_in_host", {})).code == Errc::kInvalidArgument);
  const std::vector<Value> by_zero{{.i64 = 1}, {.i64 = 0}};
  CHECK(error_of(sandbox->call("divide", by_zero)).message.find("divide by zero") != std::string::npos);
}

TEST_CASE_TEMPLATE("a host call costs less than a microsecond" * doctest::skip(kAddressSanitizer), Way,
                   Compiled, Wasmtime) {
  auto sandbox = Sandbox::create(probe<Way>({}));
  REQUIRE(sandbox);
  constexpr std::uint32_t kCalls = 200'000;
  const std::vector<Value> arguments{{.i32 = kCalls}};
  double best = 1;
  for (int turn = 0; turn < 5; ++turn) {  // the best of several, as the machine may be busy
    const auto begin = std::chrono::steady_clock::now();
    const auto results = sandbox->call("call_host_often", arguments);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    REQUIRE(results);
    CHECK((*results)[0].i32 == kCalls);
  }
  MESSAGE("nanoseconds a host call: ", best / kCalls * 1e9);
  CHECK(best / kCalls < 1e-6);
}

TEST_CASE_TEMPLATE("an import that the host lacks is named", Way, Compiled, Wasmtime) {
  SandboxConfig config = probe<Way>({});
  config.functions.pop_back();
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message == "guest 'probe.wasm' imports host.sum, which this host does not provide");
}

TEST_CASE_TEMPLATE("an import with another signature is named with both", Way, Compiled, Wasmtime) {
  SandboxConfig config = probe<Way>({});
  config.functions.back().parameters = {ValueType::kI64};
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.message ==
        "guest 'probe.wasm' imports host.sum as (i32, i32) -> (f64), but this host provides (i64) -> (f64)");
}

TEST_CASE_TEMPLATE("what is not WebAssembly is refused", Way, Compiled, Wasmtime) {
  CHECK(creation_error<Way>({}).code == Errc::kInvalidEncoding);
  CHECK(creation_error<Way>(bytes({0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0})).code == Errc::kInvalidEncoding);
  CHECK(creation_error<Way>(module_of({1, 200})).code == Errc::kInvalidEncoding);
}

TEST_CASE_TEMPLATE("a truncated guest is refused", Way, Compiled, Wasmtime) {
  SandboxConfig config = probe<Way>({});
  config.module.resize(config.module.size() / 2);
  CHECK(error_of(Sandbox::create(std::move(config))).code == Errc::kInvalidEncoding);
}

TEST_CASE("a proposal that is off is named, and does not reach the compiler") {
  // A type section with () -> (), and a tag section with one exception of that type.
  const Error exceptions = creation_error(module_of({1, 4, 1, 0x60, 0, 0, 13, 3, 1, 0, 0}));
  CHECK(exceptions.code == Errc::kUnsupportedOperation);
  CHECK(exceptions.message.find("exception handling") != std::string::npos);
  // Type sections with () -> () and then an empty struct, an array, a subtype, a recursive group.
  for (const auto& module :
       {module_of({1, 6, 2, 0x60, 0, 0, 0x5f, 0}), module_of({1, 4, 1, 0x5e, 0x7f, 0}),
        module_of({1, 6, 1, 0x50, 0, 0x60, 0, 0}), module_of({1, 6, 1, 0x4e, 1, 0x60, 0, 0})}) {
    const Error structs = creation_error(module);
    CHECK(structs.code == Errc::kUnsupportedOperation);
    CHECK(structs.message.find("garbage collection") != std::string::npos);
  }
  // A function that tail-calls itself.
  const Error tail =
      creation_error(module_of({1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 6, 1, 4, 0, 0x12, 0, 0x0b}));
  CHECK(tail.code == Errc::kUnsupportedOperation);
  CHECK(tail.message.find("tail calls") != std::string::npos);
}

TEST_CASE_TEMPLATE("a guest that starts with more memory than allowed is refused", Way, Compiled, Wasmtime) {
  // A memory of 256 pages, exported as "m".
  SandboxConfig config;
  config.engine = Way::kEngine;
  config.wasmtime_library = WASMTIME_LIBRARY;
  config.module = module_of({5, 4, 1, 0, 0x80, 2, 7, 5, 1, 1, 'm', 2, 0});
  config.name = "big.wasm";
  config.max_memory_pages = 255;
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.code == Errc::kTooLarge);
  CHECK(error.message.find("256 pages") != std::string::npos);
}

TEST_CASE_TEMPLATE("memory grows up to its limit and not beyond", Way, Compiled, Wasmtime) {
  SandboxConfig within = probe<Way>({"grow", "1000"});
  within.max_memory_pages = 2000;
  CHECK(run_probe(std::move(within)) == 0);
  SandboxConfig beyond = probe<Way>({"grow", "1000"});
  beyond.max_memory_pages = 900;
  CHECK(run_probe(std::move(beyond)) == 1);
}

TEST_CASE_TEMPLATE("a guest opens as many files as it may, whatever the host has open", Way, Compiled,
                   Wasmtime) {
  const TemporaryDirectory dir;
  dir.write("file", "text");
  for (const char* mode : {"open-all", "open-around-the-host"}) {
    CAPTURE(mode);
    // The second mode calls the host while it holds some, and then all, of its files.
    std::vector<UniqueFd> of_the_host;
    SandboxConfig config = probe<Way>({mode, "file"});
    config.functions.front().call = [&](GuestMemory, auto, auto) -> Status {
      of_the_host.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      return of_the_host.back() ? Status() : Error{Errc::kRuntimeError, "the host cannot open a file"};
    };
    config.preopens = {{dir.path(), ".", false}};
    config.max_handles = 20;
    CHECK(run_probe(std::move(config)) == 20);
  }
}

TEST_CASE_TEMPLATE("a guest that would reach the network is refused", Way, Compiled, Wasmtime) {
  // A type section with (i32, i32, i32) -> (i32), and an import section with one function of that type.
  std::vector<std::byte> module = module_of({1, 8, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 1, 0x7f, 2, 36, 1, 22});
  const std::string names = "wasi_snapshot_preview1\tsock_open";
  for (const char c : names) module.push_back(static_cast<std::byte>(c));
  for (const int byte : {0, 0}) module.push_back(static_cast<std::byte>(byte));
  const Error error = creation_error<Way>(module);
  CHECK(error.code == Errc::kUnsupportedOperation);
  // One of the engines has such functions, and the other none.
  CHECK(error.message.find("wasi_snapshot_preview1.sock_open, which ") != std::string::npos);
}

TEST_CASE_TEMPLATE("a preopened directory is read and written under its guest path", Way, Compiled,
                   Wasmtime) {
  for (const char* guest_path : {".", "/", "/data"}) {
    CAPTURE(guest_path);
    const TemporaryDirectory dir;
    const std::string prefix = guest_path == std::string(".") ? "" : std::string(guest_path) + "/";
    SandboxConfig config = probe<Way>({"write", prefix + "new", "text"});
    config.preopens = {{dir.path(), guest_path, false}};
    CHECK(run_probe(std::move(config)) == 0);
    CHECK(dir.read("new") == "text");
  }
}

TEST_CASE_TEMPLATE("a read-only directory is read and not changed in any way", Way, Compiled, Interpreted,
                   Wasmtime) {
  const TemporaryDirectory dir;
  dir.write("file", "old");
  const auto run = [&](std::vector<std::string> args) {
    SandboxConfig config = probe<Way>(std::move(args));
    config.preopens = {{dir.path(), ".", true}};
    return run_probe(std::move(config));
  };
  CHECK(run({"read", "file", "old"}) == 0);
  CHECK(run({"write", "file", "new"}) == 1);
  CHECK(run({"write", "other", "new"}) == 1);
  CHECK(run({"remove", "file"}) == 1);
  CHECK(run({"rename", "file", "other"}) == 1);
  CHECK(dir.read("file") == "old");
  CHECK(dir.count() == 1);
}

TEST_CASE_TEMPLATE("a read-only directory inside of one that is not stays as it is, by whatever call", Way,
                   Compiled, Interpreted, Wasmtime) {
  const TemporaryDirectory dir;
  fs::create_directories(dir / "ro/sub");
  fs::create_directories(dir / "rw");
  dir.write("ro/file", "old");
  dir.write("ro/sub/deep", "old");
  const auto times = [&] {
    std::vector<fs::file_time_type> all;
    for (const char* name : {"ro", "ro/file", "ro/sub", "ro/sub/deep"})
      all.push_back(fs::last_write_time(dir / name));
    return all;
  };
  const auto before = times();
  const auto run = [&](std::vector<std::string> args) {
    SandboxConfig config = probe<Way>(std::move(args));
    config.preopens = {{dir / "rw", "rw", false}, {dir / "ro", "ro", true}, {dir / "rw", "more", false}};
    return run_probe(std::move(config));
  };
  CHECK(run({"look-around"}) == 0);
  for (const char* file : {"ro/file", "ro/sub/deep"}) {
    CAPTURE(file);
    CHECK(run({"change", file, "rw/moved"}) == 0);
    CHECK(run({"change", file, "ro/moved"}) == 0);
  }
  CHECK(times() == before);
  CHECK(dir.read("ro/file") == "old");
  CHECK(run({"write", "rw/new", "text"}) == 0);
  CHECK(run({"rename", "rw/new", "more/newer"}) == 0);
  CHECK(dir.read("rw/newer") == "text");
}

TEST_CASE_TEMPLATE("a guest does not leave its directory through WASI", Way, Compiled, Wasmtime) {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "in");
  dir.write("secret", "secret");
  fs::create_symlink("../secret", dir / "in/up");
  fs::create_symlink(dir / "secret", dir / "in/absolute");
  for (const char* path : {"../secret", "up", "absolute", "/etc/hostname"}) {
    CAPTURE(path);
    SandboxConfig config = probe<Way>({"read", path, "secret"});
    config.preopens = {{dir / "in", ".", false}};
    CHECK(run_probe(std::move(config)) == 1);
  }
}

TEST_CASE_TEMPLATE("a directory that is not there is named", Way, Compiled, Wasmtime) {
  SandboxConfig config = probe<Way>({});
  config.preopens = {{"/no/such/directory", ".", false}};
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.code == Errc::kNotFound);
  CHECK(error.message.find("/no/such/directory") != std::string::npos);
}

TEST_CASE("a compiled guest is cached, and compiled anew when the cached file is damaged") {
  const TemporaryDirectory cache;
  const auto run = [&] {
    SandboxConfig config = probe({"exit", "5"});
    config.aot_cache = cache / "guests";
    return run_probe(std::move(config));
  };
  CHECK(run() == 5);
  const auto entries = [&] { return fs::directory_iterator(cache / "guests"); };
  REQUIRE(std::distance(entries(), fs::directory_iterator()) == 1);
  const fs::path file = entries()->path();
  const auto written = fs::last_write_time(file);
  CHECK(run() == 5);
  CHECK(fs::last_write_time(file) == written);

  const auto size = fs::file_size(file);
  fs::resize_file(file, size / 2);
  CHECK(run() == 5);
  CHECK(fs::file_size(file) == size);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
          .seekp(static_cast<std::streamoff>(size / 2))
      << "damage";
  CHECK(run() == 5);
  CHECK((fs::status(cache / "guests").permissions() & fs::perms::others_all) == fs::perms::none);
}

TEST_CASE("without a cache nothing of a compiled guest stays") {
  const auto leftovers = [] {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(fs::temp_directory_path())) {
      const std::string name = entry.path().filename();
      count += name.starts_with("wasmgrad-" + std::to_string(::getpid())) ? 1U : 0U;
    }
    return count;
  };
  SandboxConfig config = probe({"exit", "0"});
  config.aot_cache.clear();
  CHECK(run_probe(std::move(config)) == 0);
  CHECK(leftovers() == 0);
}

TEST_CASE("a library that is no tested wasmtime is refused with what it lacks") {
  SandboxConfig config = probe<Wasmtime>({});
  config.wasmtime_library = "/no/such/library.so";
  CHECK(error_of(Sandbox::create(config)).code == Errc::kNotFound);
  config.wasmtime_library = "libc.so.6";
  const Error error = error_of(Sandbox::create(config));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message.find("has been tested with: it has no function ") != std::string::npos);
}

TEST_CASE("wasmtime refuses to interpret, and by name the proposals that would pass the limits") {
  SandboxConfig config = probe<Wasmtime>({});
  config.interpret = true;
  CHECK(error_of(Sandbox::create(std::move(config))).message.starts_with("interpret: "));
  // Two memories; a memory of 64-bit addresses; a shared one; an empty struct.
  for (const auto& [module, name] : {std::pair(module_of({5, 5, 2, 0, 1, 0, 1}), "multiple memories"),
                                     std::pair(module_of({5, 3, 1, 4, 1}), "64-bit memory"),
                                     std::pair(module_of({5, 4, 1, 3, 1, 1}), "threads"),
                                     std::pair(module_of({1, 3, 1, 0x5f, 0}), "garbage collection")}) {
    CAPTURE(name);
    const Error error = creation_error<Wasmtime>(module);
    CHECK(error.code == Errc::kUnsupportedOperation);
    CHECK_MESSAGE(error.message.find(name) != std::string::npos, error.message);
  }
}

TEST_CASE("a table in wasmtime grows to its limit and not beyond") {
  // A table of functions, and a function "g" that grows it by its argument.
  SandboxConfig config;
  config.engine = EngineKind::kWasmtime;
  config.wasmtime_library = WASMTIME_LIBRARY;
  config.name = "table.wasm";
  config.module =
      module_of({1, 6, 1, 0x60, 1, 0x7f, 1,  0x7f, 3, 2, 1, 0,    4,    4,    1, 0x70, 0,  0, 7,
                 5, 1, 1, 'g',  0, 0,    10, 11,   1, 9, 0, 0xd0, 0x70, 0x20, 0, 0xfc, 15, 0, 0x0b});
  auto sandbox = Sandbox::create(std::move(config));
  REQUIRE_MESSAGE(sandbox, (sandbox ? "" : sandbox.error().message));
  const auto grow = [&](std::uint32_t elements) {
    const Value argument{.i32 = elements};
    const auto result = sandbox->call("g", std::span(&argument, 1));
    REQUIRE(result);
    return (*result)[0].i32;
  };
  CHECK(grow(1 << 20) == 0);
  CHECK(grow(1) == 0xffffffff);
}

TEST_CASE("the engine's version is known") { CHECK(engine_version().find('.') != std::string::npos); }
