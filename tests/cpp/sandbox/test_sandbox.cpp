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

SandboxConfig probe(std::vector<std::string> args, bool interpret = false) {
  static const std::vector<std::byte> module = *read_file(PROBE_GUEST, std::uint64_t{1} << 24);
  static const TemporaryDirectory cache;
  SandboxConfig config;
  config.module = module;
  config.name = "probe.wasm";
  config.args = std::move(args);
  config.functions = host_functions();
  config.interpret = interpret;
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

Error creation_error(std::vector<std::byte> module) {
  SandboxConfig config;
  config.module = std::move(module);
  config.name = "bad.wasm";
  return error_of(Sandbox::create(std::move(config)));
}

}  // namespace

TEST_CASE("a guest runs, compiled and interpreted, and its exit code is returned") {
  for (const bool interpret : {false, true}) {
    CAPTURE(interpret);
    CHECK(run_probe(probe({"exit", "0"}, interpret)) == 0);
    CHECK(run_probe(probe({"exit", "7"}, interpret)) == 7);
    CHECK(run_probe(probe({"sum"}, interpret)) == 0);
  }
}

TEST_CASE("a guest sees its name, its arguments and the environment it was given, and no other") {
  CHECK(run_probe(probe({"name", "probe.wasm"})) == 0);
  SandboxConfig config = probe({"env", "KEY", "VALUE"});
  config.env = {"KEY=VALUE"};
  CHECK(run_probe(std::move(config)) == 0);
  CHECK(run_probe(probe({"env", "PATH", std::getenv("PATH")})) == 1);
}

TEST_CASE("a guest that traps is an error") {
  for (const bool interpret : {false, true}) {
    CAPTURE(interpret);
    auto sandbox = Sandbox::create(probe({"trap"}, interpret));
    REQUIRE(sandbox);
    const Error error = error_of(sandbox->run());
    CHECK(error.code == Errc::kRuntimeError);
    CHECK(error.message == "guest 'probe.wasm' trapped: unreachable");
  }
}

TEST_CASE("the error of a host function is what run() returns") {
  auto sandbox = Sandbox::create(probe({"refuse"}));
  REQUIRE(sandbox);
  const Error error = error_of(sandbox->run());
  CHECK(error.code == Errc::kSecurity);
  CHECK(error.message == "the host refuses 7");
}

TEST_CASE("exports are called with values and checked") {
  auto sandbox = Sandbox::create(probe({}));
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

TEST_CASE("a host call costs less than a microsecond" * doctest::skip(kAddressSanitizer)) {
  auto sandbox = Sandbox::create(probe({}));
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

TEST_CASE("an import that the host lacks is named") {
  SandboxConfig config = probe({});
  config.functions.pop_back();
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message == "guest 'probe.wasm' imports host.sum, which this host does not provide");
}

TEST_CASE("an import with another signature is named with both") {
  SandboxConfig config = probe({});
  config.functions.back().parameters = {ValueType::kI64};
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.message ==
        "guest 'probe.wasm' imports host.sum as (i32, i32) -> (f64), but this host provides (i64) -> (f64)");
}

TEST_CASE("what is not WebAssembly is refused") {
  CHECK(creation_error({}).code == Errc::kInvalidEncoding);
  CHECK(creation_error(bytes({0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0})).code == Errc::kInvalidEncoding);
  CHECK(creation_error(module_of({1, 200})).code == Errc::kInvalidEncoding);
}

TEST_CASE("a truncated guest is refused") {
  SandboxConfig config = probe({});
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

TEST_CASE("a guest that starts with more memory than allowed is refused") {
  // A memory of 256 pages, exported as "m".
  SandboxConfig config;
  config.module = module_of({5, 4, 1, 0, 0x80, 2, 7, 5, 1, 1, 'm', 2, 0});
  config.name = "big.wasm";
  config.max_memory_pages = 255;
  const Error error = error_of(Sandbox::create(std::move(config)));
  CHECK(error.code == Errc::kTooLarge);
  CHECK(error.message.find("256 pages") != std::string::npos);
}

TEST_CASE("memory grows up to its limit and not beyond") {
  SandboxConfig within = probe({"grow", "1000"});
  within.max_memory_pages = 2000;
  CHECK(run_probe(std::move(within)) == 0);
  SandboxConfig beyond = probe({"grow", "1000"});
  beyond.max_memory_pages = 900;
  CHECK(run_probe(std::move(beyond)) == 1);
}

TEST_CASE("a guest opens as many files as it may, whatever the host has open") {
  const TemporaryDirectory dir;
  dir.write("file", "text");
  for (const char* mode : {"open-all", "open-around-the-host"}) {
    CAPTURE(mode);
    // The second mode calls the host while it holds some, and then all, of its files.
    std::vector<UniqueFd> of_the_host;
    SandboxConfig config = probe({mode, "file"});
    config.functions.front().call = [&](GuestMemory, auto, auto) -> Status {
      of_the_host.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      return of_the_host.back() ? Status() : Error{Errc::kRuntimeError, "the host cannot open a file"};
    };
    config.preopens = {{dir.path(), ".", false}};
    config.max_handles = 20;
    CHECK(run_probe(std::move(config)) == 20);
  }
}

TEST_CASE("a guest that would reach the network is refused") {
  // A type section with (i32, i32, i32) -> (i32), and an import section with one function of that type.
  std::vector<std::byte> module = module_of({1, 8, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 1, 0x7f, 2, 36, 1, 22});
  const std::string names = "wasi_snapshot_preview1\tsock_open";
  for (const char c : names) module.push_back(static_cast<std::byte>(c));
  for (const int byte : {0, 0}) module.push_back(static_cast<std::byte>(byte));
  const Error error = creation_error(module);
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message.find("wasi_snapshot_preview1.sock_open, which reaches the network") !=
        std::string::npos);
}

TEST_CASE("a preopened directory is read and written under its guest path") {
  for (const char* guest_path : {".", "/", "/data"}) {
    CAPTURE(guest_path);
    const TemporaryDirectory dir;
    const std::string prefix = guest_path == std::string(".") ? "" : std::string(guest_path) + "/";
    SandboxConfig config = probe({"write", prefix + "new", "text"});
    config.preopens = {{dir.path(), guest_path, false}};
    CHECK(run_probe(std::move(config)) == 0);
    CHECK(dir.read("new") == "text");
  }
}

TEST_CASE("a read-only directory is read and not changed in any way") {
  const TemporaryDirectory dir;
  dir.write("file", "old");
  const auto run = [&](std::vector<std::string> args) {
    SandboxConfig config = probe(std::move(args));
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

TEST_CASE("a guest does not leave its directory through WASI") {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "in");
  dir.write("secret", "secret");
  fs::create_symlink("../secret", dir / "in/up");
  fs::create_symlink(dir / "secret", dir / "in/absolute");
  for (const char* path : {"../secret", "up", "absolute", "/etc/hostname"}) {
    CAPTURE(path);
    SandboxConfig config = probe({"read", path, "secret"});
    config.preopens = {{dir / "in", ".", false}};
    CHECK(run_probe(std::move(config)) == 1);
  }
}

TEST_CASE("a directory that is not there is named") {
  SandboxConfig config = probe({});
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

TEST_CASE("the engine's version is known") { CHECK(engine_version().find('.') != std::string::npos); }
