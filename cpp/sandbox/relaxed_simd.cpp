#include "wasmgrad/sandbox/relaxed_simd.hpp"

#include <cstdint>

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::sandbox {

namespace {

constexpr std::uint8_t kCodeSection = 10;

bool between(std::uint32_t value, std::uint32_t low, std::uint32_t high) {
  return value >= low && value <= high;
}

// A number of any width and sign.
void skip_number(SectionReader& reader) {
  while (reader.byte().value_or(0) >= 0x80) {
  }
}

void skip_numbers(SectionReader& reader, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count && !reader.rest().empty(); ++i) skip_number(reader);
}

// What follows the opcode of an instruction with the prefix of SIMD.
void skip_simd_immediates(SectionReader& reader, std::uint32_t opcode) {
  if (between(opcode, 12, 13)) reader.take(16);                                    // constants, shuffles
  if (between(opcode, 0, 11) || between(opcode, 84, 93)) skip_numbers(reader, 2);  // addresses
  if (between(opcode, 21, 34) || between(opcode, 84, 91)) reader.byte();           // lanes
}

// What follows an opcode without a prefix.
void skip_immediates(SectionReader& reader, std::uint8_t opcode) {
  constexpr std::uint8_t kBranchTable = 0x0e, kCallIndirect = 0x11, kSelectTyped = 0x1c, kF32 = 0x43,
                         kF64 = 0x44, kMisc = 0xfc;
  if (between(opcode, 0x02, 0x04) || between(opcode, 0x0c, 0x0d) || opcode == 0x10 ||
      between(opcode, 0x20, 0x26) || between(opcode, 0x3f, 0x42) || opcode == 0xd0 || opcode == 0xd2) {
    skip_number(reader);
  } else if (opcode == kCallIndirect || between(opcode, 0x28, 0x3e)) {
    skip_numbers(reader, 2);
  } else if (opcode == kSelectTyped) {
    reader.take(reader.number());
  } else if (opcode == kBranchTable) {
    skip_numbers(reader, reader.number().value_or(0));
    skip_number(reader);
  } else if (opcode == kF32) {
    reader.take(4);
  } else if (opcode == kF64) {
    reader.take(8);
  } else if (opcode == kMisc) {
    const std::uint32_t misc = reader.number().value_or(0);
    if (between(misc, 8, 17)) skip_numbers(reader, misc % 2 == 0 && misc != 16 ? 2 : 1);
  }
}

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Appends a function's body, changed. Returns whether it has relaxed instructions.
bool append_body(std::vector<std::byte>& out, std::span<const std::byte> body) {
  constexpr std::uint8_t kSimd = 0xfd;
  constexpr std::uint32_t kFirstRelaxed = 0x100;
  constexpr std::byte kNegate[] = {std::byte{0xfd}, std::byte{0xa1}, std::byte{0x01}};  // i32x4.neg
  SectionReader reader(body);
  std::span<const std::byte> rest = body;  // not appended yet
  bool relaxed = false;
  // Local variables: groups of a count and a type.
  skip_numbers(reader, 2 * reader.number().value_or(0));
  while (const auto opcode = reader.byte()) {
    if (*opcode != kSimd) {
      skip_immediates(reader, *opcode);
      continue;
    }
    const std::uint32_t simd = reader.number().value_or(0);
    skip_simd_immediates(reader, simd);
    if (simd < kFirstRelaxed) continue;
    append(out, rest.first(rest.size() - reader.rest().size()));
    rest = reader.rest();
    append(out, kNegate);
    append(out, kNegate);
    relaxed = true;
  }
  append(out, rest);
  return relaxed;
}

struct Changed {
  std::vector<std::byte> code;
  bool relaxed = false;
};

std::optional<Changed> change_code(std::span<const std::byte> section) {
  SectionReader bodies(section);
  Changed changed;
  const auto count = bodies.number();
  if (!count) return std::nullopt;
  append_number(changed.code, *count);
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto body = bodies.take(bodies.number());
    if (!body) return std::nullopt;
    std::vector<std::byte> made;
    changed.relaxed |= append_body(made, *body);
    append_number(changed.code, made.size());
    append(changed.code, made);
  }
  return changed;
}

}  // namespace

std::optional<std::vector<std::byte>> with_plain_relaxed_results(std::span<const std::byte> module) {
  if (module.size() < kWasmHeaderBytes) return std::nullopt;
  SectionReader reader(module.subspan(kWasmHeaderBytes));
  for (auto before = reader.rest(); const auto id = reader.byte(); before = reader.rest()) {
    const auto section = reader.take(reader.number());
    if (!section) return std::nullopt;
    if (*id != kCodeSection) continue;
    const auto changed = change_code(*section);
    if (!changed || !changed->relaxed) return std::nullopt;
    std::vector<std::byte> whole;
    append(whole, module.first(module.size() - before.size()));
    whole.push_back(std::byte{kCodeSection});
    append_number(whole, changed->code.size());
    append(whole, changed->code);
    append(whole, reader.rest());
    return whole;
  }
  return std::nullopt;
}

}  // namespace wasmgrad::sandbox
