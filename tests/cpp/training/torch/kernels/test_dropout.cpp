#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "wasmgrad/training/data/philox.hpp"
#include "wasmgrad/training/torch/kernels/dropout.hpp"

namespace wasmgrad::training::kernels {
namespace {

struct Outcome {
  std::vector<float> y, dx;
  std::vector<std::uint8_t> mask;
};

std::vector<float> ramp(std::int64_t elements) {
  std::vector<float> x(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 97) - 48.25F;
  return x;
}

Outcome run(const DropoutKernels& kernels, std::int64_t elements, double probability, const DropoutKey& key,
            std::int64_t first_block = 0) {
  const std::vector<float> x = ramp(elements);
  const DropoutRate rate = dropout_rate(probability);
  Outcome result{
      std::vector<float>(x.size(), -1), std::vector<float>(x.size(), -1),
      std::vector<std::uint8_t>(static_cast<std::size_t>(dropout_blocks(elements) * kDropoutMaskBytes))};
  kernels.forward(x.data(), result.y.data(), result.mask.data(), elements, first_block, key, rate);
  kernels.backward(x.data(), result.mask.data(), result.dx.data(), elements, rate);
  return result;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

constexpr DropoutKey kKey{0x0123456789ABCDEF, (std::uint64_t{3} << 32U) + 41, 7};

}  // namespace

TEST_CASE("every instruction set gives the reference's bits") {
  for (const DropoutKernels& variant : dropout_variants()) {
    for (const std::int64_t elements : {1, 7, 16, 31, 127, 128, 129, 1000, 12544}) {
      for (const double probability : {0.1, 0.5, 0.999999, 1.0}) {
        CAPTURE(std::string(variant.name));
        CAPTURE(elements);
        CAPTURE(probability);
        const std::int64_t far_block = (std::int64_t{1} << 28) + 5;  // its counter needs the second word
        const Outcome expected = run(dropout_variants()[0], elements, probability, kKey, far_block);
        const Outcome found = run(variant, elements, probability, kKey, far_block);
        CHECK(same_bits(found.y, expected.y));
        CHECK(same_bits(found.dx, expected.dx));
        CHECK(found.mask == expected.mask);
      }
    }
  }
}

TEST_CASE("an element's draw is the half word that its position names") {
  const Outcome result = run(dropout_variants()[0], 256, 0.5, kKey);
  const std::int64_t element = 128 + 3 * 32 + 9;  // block 1, word 3, lane 4, upper half
  const PhiloxCounter words = philox4x32_10({16 + 4, 0, 41, (3U << 16U) + 7}, philox_key(kKey.seed));
  const bool keep = words[3] >> 16U >= 32768;
  CHECK((result.mask[element / 8] >> (element % 8) & 1) == static_cast<int>(keep));
}

TEST_CASE("splitting the work at block borders changes nothing") {
  const std::int64_t elements = 128 * 9 + 5;
  const Outcome whole = run(dropout_kernels(), elements, 0.3, kKey);
  const std::vector<float> x = ramp(elements);
  std::vector<float> y(x.size());
  std::vector<std::uint8_t> mask(whole.mask.size());
  const DropoutRate rate = dropout_rate(0.3);
  dropout_kernels().forward(x.data() + 512, y.data() + 512, mask.data() + 64, elements - 512, 4, kKey, rate);
  dropout_kernels().forward(x.data(), y.data(), mask.data(), 512, 0, kKey, rate);
  CHECK(same_bits(y, whole.y));
}

TEST_CASE("the kept share is the probability's complement") {
  const std::int64_t elements = 1 << 20;
  for (const double probability : {0.1, 0.5, 0.9}) {
    const Outcome result = run(dropout_kernels(), elements, probability, kKey);
    std::int64_t kept = 0;
    for (const std::uint8_t bits : result.mask) kept += __builtin_popcount(bits);
    CHECK(static_cast<double>(kept) / static_cast<double>(elements) ==
          doctest::Approx(1 - probability).epsilon(0.01));
  }
}

TEST_CASE("kept elements are scaled so that the expectation stays") {
  const std::vector<float> x = ramp(300);
  const Outcome result = run(dropout_kernels(), 300, 0.25, kKey);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool keep = (result.mask[i / 8] >> (i % 8) & 1) != 0;
    CHECK(result.y[i] == (keep ? x[i] * static_cast<float>(1 / 0.75) : 0.0F));
  }
}

TEST_CASE("seed, step and site each give another mask") {
  const Outcome base = run(dropout_kernels(), 1024, 0.5, {1, 2, 3});
  CHECK(run(dropout_kernels(), 1024, 0.5, {9, 2, 3}).mask != base.mask);
  CHECK(run(dropout_kernels(), 1024, 0.5, {1, 9, 3}).mask != base.mask);
  CHECK(run(dropout_kernels(), 1024, 0.5, {1, 2, 9}).mask != base.mask);
}

}  // namespace wasmgrad::training::kernels
