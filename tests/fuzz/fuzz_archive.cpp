// TorchScript archives: whatever the bytes are, vetting decides about them, and what it accepts can be
// loaded.
//
// An archive that is damaged anywhere is refused for its checksums. So all but the first kind of input are
// the contents of records, around which the target writes a container without fault.
#include <torch/csrc/jit/serialization/import.h>

#include <sstream>
#include <string>

#include "fuzz.hpp"
#include "make_archive.hpp"
#include "wasmgrad/training/torch/vet/inflate.hpp"
#include "wasmgrad/training/torch/vet/pickle.hpp"
#include "wasmgrad/training/torch/vet/source.hpp"
#include "wasmgrad/training/torch/vet/source_ranges.hpp"
#include "wasmgrad/training/torch/vet/vet.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;

namespace {

enum class Kind : std::uint8_t { kArchive, kRecords, kInflate, kPickle, kSource, kRanges, kCount };

// Small enough that no input takes long, large enough for the seeds.
constexpr std::uint64_t kMaxBytes = 1 << 20;
constexpr VetLimits kLimits{.max_storage_bytes = kMaxBytes, .max_code_bytes = kMaxBytes, .max_nesting = 50};

template <class Result>
void expect_sentence(const Result& result) {
  if (!result) fuzz::require_sentence(result.error().message);
}

void vet_and_load(std::span<const std::byte> bytes) {
  const fuzz::ExactBytes archive(bytes);
  const Status vetted = vet_archive(archive.bytes(), kLimits);
  expect_sentence(vetted);
  if (!vetted.ok()) return;
  std::istringstream stream{std::string(fuzz::as_text(archive.bytes()))};
  try {
    torch::jit::load(stream, at::kCPU, /*load_debug_files=*/false);
  } catch (const std::exception&) {
    // torch may find a fault that vetting leaves to it, as long as it says so.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Reader input(fuzz::as_input(data, size));
  const auto kind = static_cast<Kind>(input.number<std::uint8_t>() % static_cast<std::uint8_t>(Kind::kCount));
  const fuzz::ExactBytes bytes(input.rest());
  const std::string_view text = fuzz::as_text(bytes.bytes());
  const vet::PickleLimits limits{.max_depth = kLimits.max_nesting, .max_values = 100'000};
  switch (kind) {
    case Kind::kArchive:
      vet_and_load(bytes.bytes());
      break;
    case Kind::kRecords: {
      const std::string archive = fuzz::make_archive(fuzz::Reader(bytes.bytes()));
      vet_and_load(std::as_bytes(std::span(archive)));
      break;
    }
    case Kind::kInflate: {
      fuzz::Reader compressed(bytes.bytes());
      const auto bytes_out = compressed.number<std::uint16_t>();
      expect_sentence(vet::inflate(compressed.rest(), bytes_out));
      break;
    }
    case Kind::kPickle:
      expect_sentence(
          vet::read_pickle(text, limits, [](const std::string&) -> Expected<std::uint64_t> { return 64; }));
      break;
    case Kind::kSource: {
      const auto units = vet::scan_source("__torch__.fuzzed", text, kLimits.max_nesting,
                                          [](std::string_view name) { return name.starts_with("aten::"); });
      expect_sentence(units);
      if (units) expect_sentence(vet::check_references(*units, kLimits.max_nesting));
      break;
    }
    case Kind::kRanges:
      expect_sentence(vet::check_source_ranges(text, limits));
      break;
    case Kind::kCount:
      break;
  }
  return 0;
}
