// See idx.hpp.
#include "idx.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "wasmgrad/fail.hpp"

namespace mnist {

using wasmgrad::fail;

namespace {

// Third byte of the magic number: the elements are unsigned bytes.
constexpr std::uint32_t kUnsignedByte = 0x08;

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

std::string format_shape(std::span<const std::uint32_t> shape) {
  std::string text;
  for (std::uint32_t dim : shape) {
    if (!text.empty()) text += "x";
    text += std::to_string(dim);
  }
  return text;
}

}  // namespace

IdxFile::IdxFile(std::string path, const char* what, std::span<const std::uint32_t> sample_shape)
    : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rb")) {
  if (!file_) fail("%s: cannot be opened: %s", path_.c_str(), std::strerror(errno));
  struct stat status{};
  if (fstat(fileno(file_.get()), &status) != 0 || !S_ISREG(status.st_mode)) {
    fail("%s: is not a regular file", path_.c_str());
  }
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);

  const std::size_t rank = 1 + sample_shape.size();
  header_bytes_ = static_cast<std::uint32_t>(4 * (1 + rank));
  std::vector<std::uint8_t> header(header_bytes_);
  if (file_bytes < header.size()) {
    fail("%s: truncated: expected an IDX header of %zu bytes, found a file of %llu bytes", path_.c_str(),
         header.size(), static_cast<unsigned long long>(file_bytes));
  }
  // Samples are read in large blocks, straight into place: a stdio buffer would only copy them twice.
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);
  read(header);
  check_magic(big_endian(header.data()), static_cast<std::uint32_t>(rank));

  samples_ = big_endian(&header[4]);
  std::vector<std::uint32_t> found;
  for (std::size_t axis = 1; axis < rank; ++axis) found.push_back(big_endian(&header[4 + 4 * axis]));
  for (std::size_t axis = 0; axis + 1 < rank; ++axis) {
    if (found[axis] != sample_shape[axis]) {
      fail("%s: wrong dimensions: expected %s of %s, found %s", path_.c_str(), what,
           format_shape(sample_shape).c_str(), format_shape(found).c_str());
    }
    sample_bytes_ *= sample_shape[axis];
  }
  if (samples_ == 0) fail("%s: expected at least one of its %s, found none", path_.c_str(), what);

  const std::uint64_t expected_bytes = header.size() + std::uint64_t{samples_} * sample_bytes_;
  if (file_bytes != expected_bytes) {
    fail("%s: %s: expected %llu bytes for %u %s, found %llu bytes", path_.c_str(),
         file_bytes < expected_bytes ? "truncated" : "too long",
         static_cast<unsigned long long>(expected_bytes), samples_, what,
         static_cast<unsigned long long>(file_bytes));
  }
}

void IdxFile::check_magic(std::uint32_t magic, std::uint32_t rank) const {
  const std::uint32_t expected = kUnsignedByte << 8 | rank;
  if (magic == expected) return;
  if (magic >> 16 == 0x1f8b)
    fail("%s: is gzip-compressed: expected the raw IDX file; decompress it first", path_.c_str());
  fail("%s: bad magic number: expected 0x%08x, found 0x%08x", path_.c_str(), expected, magic);
}

void IdxFile::read(std::span<std::uint8_t> destination) {
  const std::size_t got = std::fread(destination.data(), 1, destination.size(), file_.get());
  if (got == destination.size()) return;
  fail("%s: cannot be read: expected %zu more bytes, found %zu%s%s", path_.c_str(), destination.size(), got,
       std::ferror(file_.get()) ? ": " : "", std::ferror(file_.get()) ? std::strerror(errno) : "");
}

void IdxFile::seek(std::uint32_t sample) {
  const long long offset = header_bytes_ + static_cast<long long>(sample) * sample_bytes_;
  if (fseeko(file_.get(), offset, SEEK_SET) != 0) {
    fail("%s: cannot be read from byte %lld on: %s", path_.c_str(), offset, std::strerror(errno));
  }
}

}  // namespace mnist
