// The interfaces of wasi:io. Every stream is one of a file or of the console, and answers at once or waits:
// the calls that may block and those that may not are the same.
#include <algorithm>
#include <cstring>
#include <limits>

#include "wasmgrad/sandbox/wasi2/wasi.hpp"

namespace wasmgrad::sandbox::wasi2 {

namespace {

constexpr std::uint32_t kVector = Preview1::kRecord;          // an iovec: address and length
constexpr std::uint32_t kCount = Preview1::kRecord + 8;       // bytes done
constexpr std::uint32_t kSize = Preview1::kRecord + 64 + 32;  // of a file in its filestat
constexpr std::uint64_t kMaxPolled = 65536;

}  // namespace

Status Wasi::to_debug_string(Call& call) {
  WASMGRAD_ASSIGN(const Resource* error, find(call.u32(0), Kind::kError));
  const std::string text = "errno " + std::to_string(error->error) + " of WASI preview 1";
  WASMGRAD_ASSIGN(const std::uint32_t address, call.guest.store_bytes(std::as_bytes(std::span(text))));
  WASMGRAD_CHECK(call.guest.store(call.area(), address));
  return call.guest.store(call.area() + 4, static_cast<std::uint32_t>(text.size()));
}

Status Wasi::is_ready(Call& call) {
  WASMGRAD_ASSIGN(const Resource* pollable, find(call.u32(0), Kind::kPollable));
  call.results[0].i32 = pollable->ready_at <= monotonic_now_ns() ? 1 : 0;
  return {};
}

Status Wasi::block(Call& call) {
  WASMGRAD_ASSIGN(const Resource* pollable, find(call.u32(0), Kind::kPollable));
  sleep_until(pollable->ready_at);
  return {};
}

Status Wasi::poll(Call& call) {
  const std::uint64_t count = call.u32(1);
  if (count == 0 || count > kMaxPolled) return invalid("WASI: poll takes from 1 to 65536 pollables");
  WASMGRAD_ASSIGN(const auto handles, call.guest.memory().bytes(call.u32(0), count * 4, "pollables"));
  std::vector<std::uint64_t> times;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t handle = 0;
    std::memcpy(&handle, handles.data() + 4 * i, sizeof handle);
    WASMGRAD_ASSIGN(const Resource* pollable, find(handle, Kind::kPollable));
    times.push_back(pollable->ready_at);
  }
  sleep_until(*std::ranges::min_element(times));
  const std::uint64_t now = monotonic_now_ns();
  std::vector<std::uint32_t> ready;
  for (std::uint32_t i = 0; i < count; ++i)
    if (times[i] <= now) ready.push_back(i);
  WASMGRAD_ASSIGN(const std::uint32_t list, call.guest.allocate(ready.size() * 4, 4));
  for (std::size_t i = 0; i < ready.size(); ++i) WASMGRAD_CHECK(call.guest.store(list + 4 * i, ready[i]));
  WASMGRAD_CHECK(call.guest.store(call.area(), list));
  return call.guest.store(call.area() + 4, static_cast<std::uint32_t>(ready.size()));
}

Status Wasi::stream_error(Call& call, std::uint32_t payload, Errno error) {
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{1}));
  WASMGRAD_CHECK(call.guest.store(call.area() + payload, static_cast<std::uint8_t>(error == 0 ? 1 : 0)));
  if (error == 0) return {};
  WASMGRAD_ASSIGN(const std::uint32_t handle, insert({.kind = Kind::kError, .error = error}));
  return call.guest.store(call.area() + payload + 4, handle);
}

Expected<std::pair<Errno, std::uint32_t>> Wasi::read_some(Resource& stream, std::uint64_t length) {
  const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(length, Preview1::kMaxData));
  files_->write(kVector, Preview1::kData);
  files_->write(kVector + 4, most);
  const std::uint32_t file = stream.file->descriptor;
  WASMGRAD_ASSIGN(const Errno error,
                  stream.offset ? files_->call("fd_pread", {file, kVector, 1, *stream.offset, kCount})
                                : files_->call("fd_read", {file, kVector, 1, kCount}));
  const std::uint32_t done = error == 0 ? std::min(files_->read<std::uint32_t>(kCount), most) : 0;
  if (stream.offset) *stream.offset += done;
  return std::pair(error, done);
}

Expected<Errno> Wasi::write_all(Resource& stream, std::uint32_t length) {
  const std::uint32_t file = stream.file->descriptor;
  const bool to_console = file <= 2;
  if (!to_console && !stream.offset) {  // the end of the file
    WASMGRAD_ASSIGN(const Errno error, files_->call("fd_filestat_get", {file, Preview1::kRecord + 64}));
    if (error != 0) return error;
  }
  std::uint64_t at = stream.offset ? *stream.offset : files_->read<std::uint64_t>(kSize);
  for (std::uint32_t done = 0; done < length;) {
    files_->write(kVector, Preview1::kData + done);
    files_->write(kVector + 4, length - done);
    WASMGRAD_ASSIGN(const Errno error, to_console
                                           ? files_->call("fd_write", {file, kVector, 1, kCount})
                                           : files_->call("fd_pwrite", {file, kVector, 1, at, kCount}));
    if (error != 0) return error;
    const auto written = std::min(files_->read<std::uint32_t>(kCount), length - done);
    done += written;
    at += written;
    if (stream.offset) *stream.offset = at;
  }
  return Errno{0};
}

Status Wasi::read(Call& call) {
  WASMGRAD_ASSIGN(Resource* const stream, find(call.u32(0), Kind::kInputStream));
  WASMGRAD_ASSIGN(const auto read, read_some(*stream, call.u64(1)));
  const auto& [error, bytes] = read;
  if (error != 0 || (bytes == 0 && call.u64(1) > 0)) return stream_error(call, 4, error);
  WASMGRAD_ASSIGN(const std::uint32_t list, call.guest.store_bytes(files_->bytes(Preview1::kData, bytes)));
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  WASMGRAD_CHECK(call.guest.store(call.area() + 4, list));
  return call.guest.store(call.area() + 8, bytes);
}

Status Wasi::skip(Call& call) {
  WASMGRAD_ASSIGN(Resource* const stream, find(call.u32(0), Kind::kInputStream));
  WASMGRAD_ASSIGN(const auto read, read_some(*stream, call.u64(1)));
  const auto& [error, bytes] = read;
  if (error != 0 || (bytes == 0 && call.u64(1) > 0)) return stream_error(call, 8, error);
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  return call.guest.store(call.area() + 8, std::uint64_t{bytes});
}

Status Wasi::subscribe(Call& call) {
  if (!find(call.u32(0), Kind::kInputStream)) WASMGRAD_CHECK(find(call.u32(0), Kind::kOutputStream));
  return give(call, {.kind = Kind::kPollable});
}

Status Wasi::check_write(Call& call) {
  WASMGRAD_CHECK(find(call.u32(0), Kind::kOutputStream));
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  return call.guest.store(call.area() + 8, std::uint64_t{Preview1::kMaxData});
}

Status Wasi::write(Call& call) {
  WASMGRAD_ASSIGN(Resource* const stream, find(call.u32(0), Kind::kOutputStream));
  WASMGRAD_ASSIGN(auto left, call.guest.memory().bytes(call.u32(1), call.u32(2), "contents"));
  while (!left.empty()) {
    const auto part = left.first(std::min<std::size_t>(left.size(), Preview1::kMaxData));
    std::ranges::copy(part, files_->bytes(Preview1::kData, part.size()).begin());
    WASMGRAD_ASSIGN(const Errno error, write_all(*stream, static_cast<std::uint32_t>(part.size())));
    if (error != 0) return stream_error(call, 4, error);
    left = left.subspan(part.size());
  }
  return call.guest.store(call.area(), std::uint8_t{0});
}

Status Wasi::flush(Call& call) {
  WASMGRAD_CHECK(find(call.u32(0), Kind::kOutputStream));
  return call.guest.store(call.area(), std::uint8_t{0});
}

Status Wasi::write_zeroes(Call& call) {
  WASMGRAD_ASSIGN(Resource* const stream, find(call.u32(0), Kind::kOutputStream));
  if (call.u64(1) > Preview1::kMaxData) return invalid("WASI: write-zeroes of more than check-write allows");
  const auto length = static_cast<std::uint32_t>(call.u64(1));
  std::ranges::fill(files_->bytes(Preview1::kData, length), std::byte{0});
  WASMGRAD_ASSIGN(const Errno error, write_all(*stream, length));
  return error != 0 ? stream_error(call, 4, error) : call.guest.store(call.area(), std::uint8_t{0});
}

Status Wasi::splice(Call& call) {
  WASMGRAD_ASSIGN(Resource* const to, find(call.u32(0), Kind::kOutputStream));
  WASMGRAD_ASSIGN(Resource* const from, find(call.u32(1), Kind::kInputStream));
  WASMGRAD_ASSIGN(const auto read, read_some(*from, call.u64(2)));
  const auto& [read_error, bytes] = read;
  if (read_error != 0 || (bytes == 0 && call.u64(2) > 0)) return stream_error(call, 8, read_error);
  WASMGRAD_ASSIGN(const Errno error, write_all(*to, bytes));
  if (error != 0) return stream_error(call, 8, error);
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  return call.guest.store(call.area() + 8, std::uint64_t{bytes});
}

std::span<const Wasi::Row> Wasi::stream_rows() {
  static constexpr std::string_view kStreams = "wasi:io/streams";
  static constexpr Row kRows[] = {
      {"wasi:io/error", "[method]error.to-debug-string", "ii", "", &Wasi::to_debug_string},
      {"wasi:io/poll", "[method]pollable.ready", "i", "i", &Wasi::is_ready},
      {"wasi:io/poll", "[method]pollable.block", "i", "", &Wasi::block},
      {"wasi:io/poll", "poll", "iii", "", &Wasi::poll},
      {kStreams, "[method]input-stream.read", "iIi", "", &Wasi::read},
      {kStreams, "[method]input-stream.blocking-read", "iIi", "", &Wasi::read},
      {kStreams, "[method]input-stream.skip", "iIi", "", &Wasi::skip},
      {kStreams, "[method]input-stream.blocking-skip", "iIi", "", &Wasi::skip},
      {kStreams, "[method]input-stream.subscribe", "i", "i", &Wasi::subscribe},
      {kStreams, "[method]output-stream.check-write", "ii", "", &Wasi::check_write},
      {kStreams, "[method]output-stream.write", "iiii", "", &Wasi::write},
      {kStreams, "[method]output-stream.blocking-write-and-flush", "iiii", "", &Wasi::write},
      {kStreams, "[method]output-stream.flush", "ii", "", &Wasi::flush},
      {kStreams, "[method]output-stream.blocking-flush", "ii", "", &Wasi::flush},
      {kStreams, "[method]output-stream.subscribe", "i", "i", &Wasi::subscribe},
      {kStreams, "[method]output-stream.write-zeroes", "iIi", "", &Wasi::write_zeroes},
      {kStreams, "[method]output-stream.blocking-write-zeroes-and-flush", "iIi", "", &Wasi::write_zeroes},
      {kStreams, "[method]output-stream.splice", "iiIi", "", &Wasi::splice},
      {kStreams, "[method]output-stream.blocking-splice", "iiIi", "", &Wasi::splice},
  };
  return kRows;
}

}  // namespace wasmgrad::sandbox::wasi2
