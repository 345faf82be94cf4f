// What the guest knows about its run, and the file in which it survives: a small header, then the trainer's
// checkpoint. The guests mnist_loop_* in the other languages write the same bytes.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "wasmgrad/training_v1.hpp"

namespace mnist {

struct Progress {
  std::uint32_t epoch = 0;  ///< epochs done
  std::uint32_t stale = 0;  ///< of them, how many since the validation loss was at its best
  double learning_rate = 1e-3;
  double best_loss = std::numeric_limits<double>::infinity();
};
static_assert(sizeof(Progress) == 24);

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
  const auto* header = reinterpret_cast<const std::uint8_t*>(&progress);
  write_file(path, {{header, sizeof progress}, trainer.checkpoint().value()});
}

inline Progress resume(const std::string& path, wasmgrad::v1::Trainer& trainer) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) wasmgrad::fail("%s: cannot be opened: %s", path.c_str(), std::strerror(errno));
  Progress progress;
  wasmgrad::v1::Bytes checkpoint;
  bool whole =
      std::fread(&progress, sizeof progress, 1, file.get()) == 1 && std::fseek(file.get(), 0, SEEK_END) == 0;
  if (whole) {
    checkpoint.resize(static_cast<std::size_t>(std::ftell(file.get())) - sizeof progress);
    whole = std::fseek(file.get(), sizeof progress, SEEK_SET) == 0 &&
            std::fread(checkpoint.data(), 1, checkpoint.size(), file.get()) == checkpoint.size();
  }
  if (!whole) wasmgrad::fail("%s: is not a whole checkpoint", path.c_str());
  trainer.restore(checkpoint).value();
  return progress;
}

}  // namespace mnist
