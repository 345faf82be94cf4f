// What the guest knows about its run, and the file in which it survives: a small header, the best weights,
// then the trainer's checkpoint. The guests mnist_loop_* in the other languages write the same bytes.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/training_v1.hpp"

namespace mnist {

struct Progress {
  std::uint32_t epoch = 0;  ///< epochs done
  std::uint32_t stale = 0;  ///< of them, how many since the validation loss was at its best
  double learning_rate = 1e-3;
  double best_loss = std::numeric_limits<double>::infinity();
  std::vector<float> best_parameters, best_buffers;  ///< of the epoch with that loss; empty before the first
};

/// How the file begins. The best parameters and buffers follow, as many as it says.
struct Header {
  std::uint32_t epoch, stale;
  double learning_rate, best_loss;
  std::uint32_t parameters, buffers;
};
static_assert(sizeof(Header) == 32);

/// Writes `parts` one after the other under a temporary name, then renames it: the file is whole or not
/// there.
inline void write_file(const std::string& path, std::initializer_list<std::span<const std::uint8_t>> parts) {
  const std::string temporary = path + ".part";
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  bool written = file != nullptr;
  for (const auto& part : parts) {
    written = written && std::fwrite(part.data(), 1, part.size(), file) == part.size();
  }
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (!written || std::rename(temporary.c_str(), path.c_str()) != 0) {
    wasmgrad::fail("%s: cannot be written: %s", path.c_str(), std::strerror(errno));
  }
}

inline void save(const std::string& path, const Progress& progress, const wasmgrad::v1::Trainer& trainer) {
  const auto bytes = [](const auto* data, std::size_t count) {
    return std::span(reinterpret_cast<const std::uint8_t*>(data), count * sizeof *data);
  };
  const auto& [epoch, stale, learning_rate, best_loss, parameters, buffers] = progress;
  const Header header{epoch,
                      stale,
                      learning_rate,
                      best_loss,
                      static_cast<std::uint32_t>(parameters.size()),
                      static_cast<std::uint32_t>(buffers.size())};
  write_file(path, {bytes(&header, 1), bytes(parameters.data(), parameters.size()),
                    bytes(buffers.data(), buffers.size()), trainer.checkpoint().value()});
}

/// The rest of `file` from where it stands.
inline wasmgrad::v1::Bytes rest_of(std::FILE* file) {
  const long begin = std::ftell(file);
  if (std::fseek(file, 0, SEEK_END) != 0) return {};
  wasmgrad::v1::Bytes rest(static_cast<std::size_t>(std::ftell(file) - begin));
  if (std::fseek(file, begin, SEEK_SET) != 0 || std::fread(rest.data(), 1, rest.size(), file) != rest.size())
    return {};
  return rest;
}

inline Progress resume(const std::string& path, wasmgrad::v1::Trainer& trainer) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) wasmgrad::fail("%s: cannot be opened: %s", path.c_str(), std::strerror(errno));
  Header header;
  bool whole = std::fread(&header, sizeof header, 1, file.get()) == 1;
  Progress progress;
  if (whole) {
    progress = {header.epoch, header.stale, header.learning_rate, header.best_loss, {}, {}};
    const auto read = [&](std::vector<float>& values, std::uint32_t count) {
      values.resize(count);
      return std::fread(values.data(), sizeof(float), count, file.get()) == count;
    };
    whole = read(progress.best_parameters, header.parameters) && read(progress.best_buffers, header.buffers);
  }
  if (!whole) wasmgrad::fail("%s: is not a whole checkpoint", path.c_str());
  trainer.restore(rest_of(file.get())).value();
  return progress;
}

}  // namespace mnist
