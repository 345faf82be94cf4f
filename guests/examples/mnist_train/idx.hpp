// IDX files as MNIST comes in: a big-endian header, then one unsigned byte an element.
//
// Everything a file may have wrong is found before its contents are used; the guest then ends with one
// sentence that names the file, what was expected and what was found. It must not know what the elements are
// for.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

namespace mnist {

class IdxFile {
 public:
  /// Opens `path` and checks its magic number, its dimensions after the first one against `sample_shape`, and
  /// its length against the number of samples it declares. `what` names the samples in errors ("images").
  IdxFile(std::string path, const char* what, std::span<const std::uint32_t> sample_shape);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Samples in the file.
  [[nodiscard]] std::uint32_t samples() const noexcept { return samples_; }
  /// Bytes of one sample.
  [[nodiscard]] std::uint32_t sample_bytes() const noexcept { return sample_bytes_; }

  /// Fills `destination` with the next bytes of the file.
  void read(std::span<std::uint8_t> destination);
  /// Makes `sample`, counted from 0, the next one.
  void seek(std::uint32_t sample);

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  void check_magic(std::uint32_t magic, std::uint32_t rank) const;

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::uint32_t samples_ = 0;
  std::uint32_t sample_bytes_ = 1;
  std::uint32_t header_bytes_;
};

}  // namespace mnist
