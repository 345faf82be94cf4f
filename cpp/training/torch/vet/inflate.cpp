// DEFLATE (RFC 1951) with canonical Huffman codes decoded bit by bit: source files are small, so it is short
// instead of fast.
#include "wasmgrad/training/torch/vet/inflate.hpp"

#include <array>
#include <vector>

namespace wasmgrad::training::vet {
namespace {

constexpr int kMaxCodeLength = 15;
constexpr std::array<std::uint16_t, 29> kLengthBase = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<std::uint8_t, 29> kLengthBits = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                      2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::array<std::uint16_t, 30> kDistanceBase = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr std::array<std::uint8_t, 30> kDistanceBits = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                                        6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
constexpr std::array<std::uint8_t, 19> kCodeLengthOrder = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                           11, 4,  12, 3, 13, 2, 14, 1, 15};

/// How many codes there are of each length, and the symbols in code order.
struct Huffman {
  std::array<int, kMaxCodeLength + 1> count{};
  std::vector<int> symbols;

  /// False when the lengths describe more codes than there is room for.
  bool build(std::span<const std::uint8_t> lengths) {
    count.fill(0);
    for (const std::uint8_t length : lengths) ++count[length];
    count[0] = 0;
    int room = 1;
    std::array<int, kMaxCodeLength + 2> start{};
    for (std::size_t length = 1; length <= kMaxCodeLength; ++length) {
      room = room * 2 - count[length];
      if (room < 0) return false;
      start[length + 1] = start[length] + count[length];
    }
    symbols.assign(lengths.size(), 0);
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] != 0)
        symbols[static_cast<std::size_t>(start[lengths[symbol]]++)] = static_cast<int>(symbol);
    }
    return true;
  }
};

class Inflater {
 public:
  Inflater(std::span<const std::byte> input, std::uint64_t size) : input_(input), size_(size) {}

  /// Empty on damaged input.
  bool run(std::string& output) {
    output.reserve(size_);
    bool last = false;
    while (!last) {
      last = bits(1) == 1;
      const int kind = bits(2);
      bool good = false;
      if (kind == 0) {
        good = stored(output);
      } else if (kind == 1) {
        good = fixed_tables() && block(output);
      } else if (kind == 2) {
        good = dynamic_tables() && block(output);
      }
      if (!good || failed_) return false;
    }
    return output.size() == size_ && position_ == input_.size();
  }

 private:
  int bits(int count) {
    while (held_bits_ < count) {
      if (position_ == input_.size()) {
        failed_ = true;
        return 0;
      }
      held_ |= std::to_integer<std::uint32_t>(input_[position_++]) << held_bits_;
      held_bits_ += 8;
    }
    const auto value = static_cast<int>(held_ & ((1U << count) - 1U));
    held_ >>= count;
    held_bits_ -= count;
    return value;
  }

  int symbol(const Huffman& codes) {
    int code = 0;
    int first = 0;
    int index = 0;
    for (std::size_t length = 1; length <= kMaxCodeLength; ++length) {
      code |= bits(1);
      const int count = codes.count[length];
      if (code - count < first) return codes.symbols[static_cast<std::size_t>(index + code - first)];
      index += count;
      first = (first + count) * 2;
      code *= 2;
    }
    failed_ = true;
    return 0;
  }

  bool stored(std::string& output) {
    held_ = 0;
    held_bits_ = 0;
    const int length = bits(16);
    const int complement = bits(16);
    if (failed_ || (length ^ 0xFFFF) != complement) return false;
    const auto count = static_cast<std::size_t>(length);
    if (count > input_.size() - position_ || count > size_ - output.size()) return false;
    output.append(reinterpret_cast<const char*>(input_.data() + position_), count);
    position_ += count;
    return true;
  }

  bool fixed_tables() {
    std::array<std::uint8_t, 288> lengths{};
    for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    std::array<std::uint8_t, 30> distances{};
    distances.fill(5);
    return literals_.build(lengths) && distances_.build(distances);
  }

  bool dynamic_tables() {
    const auto literal_count = static_cast<std::size_t>(bits(5)) + 257;
    const auto distance_count = static_cast<std::size_t>(bits(5)) + 1;
    const auto code_count = static_cast<std::size_t>(bits(4)) + 4;
    if (literal_count > 286 || distance_count > 30) return false;
    std::array<std::uint8_t, 19> code_lengths{};
    for (std::size_t i = 0; i < code_count; ++i)
      code_lengths[kCodeLengthOrder[i]] = static_cast<std::uint8_t>(bits(3));
    Huffman codes;
    if (failed_ || !codes.build(code_lengths)) return false;

    std::array<std::uint8_t, 286 + 30> lengths{};
    const std::size_t total = literal_count + distance_count;
    for (std::size_t i = 0; i < total;) {
      const int code = symbol(codes);
      if (failed_) return false;
      if (code < 16) {
        lengths[i++] = static_cast<std::uint8_t>(code);
        continue;
      }
      if (code == 16 && i == 0) return false;
      const std::uint8_t value = code == 16 ? lengths[i - 1] : std::uint8_t{0};
      const int repeat = code == 16 ? 3 + bits(2) : code == 17 ? 3 + bits(3) : 11 + bits(7);
      if (static_cast<std::size_t>(repeat) > total - i) return false;
      for (int n = 0; n < repeat; ++n) lengths[i++] = value;
    }
    const std::span<const std::uint8_t> all(lengths);
    return literals_.build(all.subspan(0, literal_count)) &&
           distances_.build(all.subspan(literal_count, distance_count));
  }

  bool block(std::string& output) {
    while (true) {
      const int code = symbol(literals_);
      if (failed_) return false;
      if (code == 256) return true;
      if (code < 256) {
        if (output.size() == size_) return false;
        output.push_back(static_cast<char>(code));
        continue;
      }
      const auto length_code = static_cast<std::size_t>(code - 257);
      if (length_code >= kLengthBase.size()) return false;
      const std::size_t length =
          kLengthBase[length_code] + static_cast<std::size_t>(bits(kLengthBits[length_code]));
      const auto distance_code = static_cast<std::size_t>(symbol(distances_));
      if (failed_ || distance_code >= kDistanceBase.size()) return false;
      const std::size_t distance =
          kDistanceBase[distance_code] + static_cast<std::size_t>(bits(kDistanceBits[distance_code]));
      if (failed_ || distance > output.size() || length > size_ - output.size()) return false;
      for (std::size_t n = 0; n < length; ++n) output.push_back(output[output.size() - distance]);
    }
  }

  std::span<const std::byte> input_;
  std::uint64_t size_;
  std::size_t position_ = 0;
  std::uint32_t held_ = 0;
  int held_bits_ = 0;
  bool failed_ = false;
  Huffman literals_;
  Huffman distances_;
};

}  // namespace

Expected<std::string> inflate(std::span<const std::byte> input, std::uint64_t size) {
  std::string output;
  if (!Inflater(input, size).run(output)) {
    return Error{Errc::kInvalidEncoding, "compressed data is damaged, or not the " + std::to_string(size) +
                                             " bytes that its header announces"};
  }
  return output;
}

}  // namespace wasmgrad::training::vet
