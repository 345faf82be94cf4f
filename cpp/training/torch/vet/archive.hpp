// The zip container of a TorchScript file, read strictly: one reading of the bytes is possible, or they are
// refused.
//
// It must not know what the records mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training::vet {

/// The error about a file of torch.save, which is no model by itself and can be read only by running it.
inline constexpr const char* kPickledByTorch =
    "this is a state dict or a pickled module, as torch.save writes them: save the model with "
    "torch.jit.script(model).save(path) or torch.export.save(torch.export.export(model, inputs), path); "
    "weights "
    "alone go into a model with Trainer.load_weights";

/// One file of the archive. Views point into the bytes given to Archive::parse.
struct Record {
  std::string_view name;            ///< without the archive's top folder
  std::span<const std::byte> data;  ///< as stored, maybe compressed
  std::uint64_t size = 0;           ///< bytes after decompression
  std::uint32_t crc = 0;            ///< of the decompressed bytes
  bool deflated = false;
};

class Archive {
 public:
  static constexpr std::uint64_t kMaxRecords = 50'000;

  /// Reads the directory and checks it: every byte belongs to exactly one record or header, local and central
  /// headers agree, all names are plain relative paths below one top folder and differ even when case is
  /// ignored (torch's reader ignores it), and the checksum of every uncompressed record is right. `bytes`
  /// must outlive the archive. Errors: kInvalidEncoding, kTooLarge (kMaxRecords), kSecurity (a name that is
  /// not a plain relative path).
  static Expected<Archive> parse(std::span<const std::byte> bytes);

  [[nodiscard]] const std::vector<Record>& records() const noexcept { return records_; }

  /// Null when there is no such record.
  [[nodiscard]] const Record* find(std::string_view name) const noexcept;

  /// The record's bytes as text, decompressed and checked. Errors: kInvalidEncoding, kTooLarge beyond
  /// `max_bytes`.
  [[nodiscard]] static Expected<std::string> read(const Record& record, std::uint64_t max_bytes);

 private:
  Archive() = default;

  std::vector<Record> records_;
  std::map<std::string_view, std::size_t> index_;
};

}  // namespace wasmgrad::training::vet
