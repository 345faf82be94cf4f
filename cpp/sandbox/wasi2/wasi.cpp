// The resources, and the interfaces cli, clocks, random and sockets.
#include "wasmgrad/sandbox/wasi2/wasi.hpp"

#include <sys/random.h>
#include <time.h>

#include <algorithm>

namespace wasmgrad::sandbox::wasi2 {

namespace {

// Streams and pollables live on the host, at its cost.
constexpr std::size_t kMaxResources = 65536;
constexpr std::uint64_t kMaxRandomBytes = 1U << 20;
constexpr std::uint64_t kNanoseconds = 1'000'000'000;
constexpr std::uint8_t kNetworkAccessDenied = 1;

std::uint64_t now_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNanoseconds + static_cast<std::uint64_t>(now.tv_nsec);
}

std::vector<ValueType> types_of(std::string_view letters) {
  std::vector<ValueType> types;
  for (const char letter : letters) types.push_back(letter == 'I' ? ValueType::kI64 : ValueType::kI32);
  return types;
}

void fill_random(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got > 0) bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

std::uint64_t random_u64() {
  std::uint64_t number = 0;
  fill_random(std::as_writable_bytes(std::span(&number, 1)));
  return number;
}

// A list of strings: records of address and length, after `each` of them.
Status store_texts(Call& call, std::span<const std::string_view> texts, std::size_t each) {
  WASMGRAD_ASSIGN(const std::uint32_t list, call.guest.allocate(texts.size() * 8, 4));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    WASMGRAD_ASSIGN(const std::uint32_t text, call.guest.store_bytes(std::as_bytes(std::span(texts[i]))));
    WASMGRAD_CHECK(call.guest.store(list + 8 * i, text));
    WASMGRAD_CHECK(call.guest.store(list + 8 * i + 4, static_cast<std::uint32_t>(texts[i].size())));
  }
  WASMGRAD_CHECK(call.guest.store(call.area(), list));
  return call.guest.store(call.area() + 4, static_cast<std::uint32_t>(texts.size() / each));
}

}  // namespace

std::uint64_t monotonic_now_ns() { return now_ns(CLOCK_MONOTONIC); }

void sleep_until(std::uint64_t monotonic_ns) {
  timespec until{};
  until.tv_sec = static_cast<time_t>(monotonic_ns / kNanoseconds);
  until.tv_nsec = static_cast<long>(monotonic_ns % kNanoseconds);
  while (monotonic_now_ns() < monotonic_ns)
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

Wasi::Wasi(const SandboxConfig& guest) : variables_(guest.env), preopens_(guest.preopens) {
  arguments_.push_back(guest.name);
  arguments_.insert(arguments_.end(), guest.args.begin(), guest.args.end());
}

Expected<std::unique_ptr<Wasi>> Wasi::create(const SandboxConfig& guest) {
  std::unique_ptr<Wasi> made(new Wasi(guest));
  WASMGRAD_ASSIGN(made->files_, Preview1::create(guest));
  return made;
}

Expected<std::uint32_t> Wasi::insert(Resource resource) {
  if (resources_.size() >= kMaxResources || last_handle_ == UINT32_MAX >> 1) {
    return Error{Errc::kTooLarge,
                 "the guest has " + std::to_string(resources_.size()) +
                     " streams, files and the like of WASI open, the most that there may be"};
  }
  resources_.emplace(++last_handle_, std::move(resource));
  return last_handle_;
}

Expected<Resource*> Wasi::find(std::uint32_t handle, Kind kind) {
  const auto found = resources_.find(handle);
  if (found != resources_.end() && found->second.kind == kind) return &found->second;
  return invalid("WASI: " + std::to_string(handle) + " is no handle of the kind that the call takes");
}

Status Wasi::give(Call& call, Resource resource) {
  WASMGRAD_ASSIGN(call.results[0].i32, insert(std::move(resource)));
  return {};
}

ComponentImports Wasi::imports() {
  ComponentImports imports;
  for (const auto rows : {cli_rows(), stream_rows(), file_rows()}) {
    for (const Row& row : rows) {
      const auto call = [this, method = row.method](ComponentCaller& guest, std::span<const Value> arguments,
                                                    std::span<Value> results) {
        Call made{guest, arguments, results};
        return (this->*method)(made);
      };
      imports.functions.push_back({std::string(row.interface), std::string(row.name),
                                   types_of(row.parameters), types_of(row.results), call});
    }
  }
  static constexpr struct {
    const char* interface;
    const char* name;
    Kind kind;
  } kResources[] = {
      {"wasi:io/error", "error", Kind::kError},
      {"wasi:io/poll", "pollable", Kind::kPollable},
      {"wasi:io/streams", "input-stream", Kind::kInputStream},
      {"wasi:io/streams", "output-stream", Kind::kOutputStream},
      {"wasi:filesystem/types", "descriptor", Kind::kDescriptor},
      {"wasi:filesystem/types", "directory-entry-stream", Kind::kDirectoryEntries},
      {"wasi:cli/terminal-input", "terminal-input", Kind::kNone},
      {"wasi:cli/terminal-output", "terminal-output", Kind::kNone},
      {"wasi:sockets/network", "network", Kind::kNetwork},
      {"wasi:sockets/tcp", "tcp-socket", Kind::kNone},
      {"wasi:sockets/udp", "udp-socket", Kind::kNone},
      {"wasi:sockets/udp", "incoming-datagram-stream", Kind::kNone},
      {"wasi:sockets/udp", "outgoing-datagram-stream", Kind::kNone},
      {"wasi:sockets/ip-name-lookup", "resolve-address-stream", Kind::kNone},
  };
  for (const auto& resource : kResources) {
    const auto drop = [this, kind = resource.kind](std::uint32_t handle) -> Status {
      WASMGRAD_CHECK(find(handle, kind));
      resources_.erase(handle);
      return {};
    };
    imports.resources.push_back({resource.interface, resource.name, drop});
  }
  return imports;
}

Status Wasi::environment(Call& call) {
  std::vector<std::string_view> texts;
  for (const std::string_view entry : variables_) {
    const std::size_t equals = entry.find('=');
    texts.push_back(entry.substr(0, equals));
    texts.push_back(equals == std::string_view::npos ? std::string_view() : entry.substr(equals + 1));
  }
  return store_texts(call, texts, 2);
}

Status Wasi::arguments(Call& call) {
  const std::vector<std::string_view> texts(arguments_.begin(), arguments_.end());
  return store_texts(call, texts, 1);
}

Status Wasi::none(Call& call) { return call.guest.store(call.area(), std::uint8_t{0}); }

Status Wasi::exit(Call& call) {
  exit_code_ = call.u32(0) == 0 ? 0 : 1;
  return Error{Errc::kInterrupted, "the guest has exited"};
}

Status Wasi::exit_with_code(Call& call) {
  exit_code_ = call.u32(0) & 0xff;
  return Error{Errc::kInterrupted, "the guest has exited"};
}

Status Wasi::get_stdin(Call& call) {
  return give(call, {.kind = Kind::kInputStream, .file = std::make_shared<OpenFile>(*files_, 0, 0, false)});
}
Status Wasi::get_stdout(Call& call) {
  return give(call, {.kind = Kind::kOutputStream, .file = std::make_shared<OpenFile>(*files_, 1, 0, false)});
}
Status Wasi::get_stderr(Call& call) {
  return give(call, {.kind = Kind::kOutputStream, .file = std::make_shared<OpenFile>(*files_, 2, 0, false)});
}

Status Wasi::monotonic_now(Call& call) {
  call.results[0].i64 = monotonic_now_ns();
  return {};
}

Status Wasi::resolution(Call& call) {
  call.results[0].i64 = 1;
  return {};
}

Status Wasi::subscribe_instant(Call& call) {
  return give(call, {.kind = Kind::kPollable, .ready_at = call.u64(0)});
}

Status Wasi::subscribe_duration(Call& call) {
  const std::uint64_t now = monotonic_now_ns();
  return give(call, {.kind = Kind::kPollable, .ready_at = now + std::min(call.u64(0), UINT64_MAX - now)});
}

Status Wasi::wall_now(Call& call) {
  const std::uint64_t now = now_ns(CLOCK_REALTIME);
  WASMGRAD_CHECK(call.guest.store(call.area(), now / kNanoseconds));
  return call.guest.store(call.area() + 8, static_cast<std::uint32_t>(now % kNanoseconds));
}

Status Wasi::wall_resolution(Call& call) {
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint64_t{0}));
  return call.guest.store(call.area() + 8, std::uint32_t{1});
}

Status Wasi::random_bytes(Call& call) {
  if (call.u64(0) > kMaxRandomBytes)
    return Error{Errc::kTooLarge, "WASI: at most " + std::to_string(kMaxRandomBytes) +
                                      " random bytes may be asked for at once"};
  std::vector<std::byte> bytes(call.u64(0));
  fill_random(bytes);
  WASMGRAD_ASSIGN(const std::uint32_t address, call.guest.store_bytes(bytes));
  WASMGRAD_CHECK(call.guest.store(call.area(), address));
  return call.guest.store(call.area() + 4, static_cast<std::uint32_t>(bytes.size()));
}

Status Wasi::random_number(Call& call) {
  call.results[0].i64 = random_u64();
  return {};
}

Status Wasi::random_seed(Call& call) {
  WASMGRAD_CHECK(call.guest.store(call.area(), random_u64()));
  return call.guest.store(call.area() + 8, random_u64());
}

Status Wasi::network(Call& call) { return give(call, {.kind = Kind::kNetwork}); }

Status Wasi::refuse_socket(Call& call) {
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{1}));
  return call.guest.store(call.area() + 4, kNetworkAccessDenied);
}

std::span<const Wasi::Row> Wasi::cli_rows() {
  static constexpr Row kRows[] = {
      {"wasi:cli/environment", "get-environment", "i", "", &Wasi::environment},
      {"wasi:cli/environment", "get-arguments", "i", "", &Wasi::arguments},
      {"wasi:cli/environment", "initial-cwd", "i", "", &Wasi::none},
      {"wasi:cli/exit", "exit", "i", "", &Wasi::exit},
      {"wasi:cli/exit", "exit-with-code", "i", "", &Wasi::exit_with_code},
      {"wasi:cli/stdin", "get-stdin", "", "i", &Wasi::get_stdin},
      {"wasi:cli/stdout", "get-stdout", "", "i", &Wasi::get_stdout},
      {"wasi:cli/stderr", "get-stderr", "", "i", &Wasi::get_stderr},
      {"wasi:cli/terminal-stdin", "get-terminal-stdin", "i", "", &Wasi::none},
      {"wasi:cli/terminal-stdout", "get-terminal-stdout", "i", "", &Wasi::none},
      {"wasi:cli/terminal-stderr", "get-terminal-stderr", "i", "", &Wasi::none},
      {"wasi:clocks/monotonic-clock", "now", "", "I", &Wasi::monotonic_now},
      {"wasi:clocks/monotonic-clock", "resolution", "", "I", &Wasi::resolution},
      {"wasi:clocks/monotonic-clock", "subscribe-instant", "I", "i", &Wasi::subscribe_instant},
      {"wasi:clocks/monotonic-clock", "subscribe-duration", "I", "i", &Wasi::subscribe_duration},
      {"wasi:clocks/wall-clock", "now", "i", "", &Wasi::wall_now},
      {"wasi:clocks/wall-clock", "resolution", "i", "", &Wasi::wall_resolution},
      {"wasi:random/random", "get-random-bytes", "Ii", "", &Wasi::random_bytes},
      {"wasi:random/random", "get-random-u64", "", "I", &Wasi::random_number},
      {"wasi:random/insecure", "get-insecure-random-bytes", "Ii", "", &Wasi::random_bytes},
      {"wasi:random/insecure", "get-insecure-random-u64", "", "I", &Wasi::random_number},
      {"wasi:random/insecure-seed", "insecure-seed", "i", "", &Wasi::random_seed},
      {"wasi:sockets/instance-network", "instance-network", "", "i", &Wasi::network},
      {"wasi:sockets/tcp-create-socket", "create-tcp-socket", "ii", "", &Wasi::refuse_socket},
      {"wasi:sockets/udp-create-socket", "create-udp-socket", "ii", "", &Wasi::refuse_socket},
      {"wasi:sockets/ip-name-lookup", "resolve-addresses", "iiii", "", &Wasi::refuse_socket},
  };
  return kRows;
}

}  // namespace wasmgrad::sandbox::wasi2
