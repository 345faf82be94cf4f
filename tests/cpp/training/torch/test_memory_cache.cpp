// Blocks that tensors give back, and what is kept of them.
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "wasmgrad/base/address_sanitizer.hpp"
#include "wasmgrad/training/torch/memory_cache.hpp"

namespace wasmgrad::training {
namespace {

constexpr std::int64_t kFloats = 8 << 20;  // 32 MiB, more than malloc would keep

at::Tensor large(std::int64_t floats = kFloats) { return at::full({floats}, 1.5F); }

std::int64_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  std::int64_t pages = 0;
  status >> pages >> pages;
  return pages * 4096;
}

}  // namespace

TEST_CASE("while a lease lives, a block serves the next tensor of its size") {
  if (kAddressSanitizer) return;
  const MemoryCacheLease lease;
  at::Tensor first = large();
  const void* block = first.const_data_ptr();
  first.reset();
  const at::Tensor same = at::empty({kFloats}, at::kFloat);
  CHECK(same.const_data_ptr() == block);
  const at::Tensor other = at::empty({kFloats}, at::kFloat);
  CHECK(other.const_data_ptr() != block);
}

TEST_CASE("a little smaller is good enough, much smaller is not") {
  if (kAddressSanitizer) return;
  const MemoryCacheLease lease;
  at::Tensor first = large();
  const void* block = first.const_data_ptr();
  first.reset();
  CHECK(large(kFloats - kFloats / 8).const_data_ptr() == block);
  CHECK(large(kFloats / 2).const_data_ptr() != block);
}

TEST_CASE("with the last lease all blocks go back to the system, and tensors outlive it") {
  at::Tensor kept;
  const std::int64_t before = resident_bytes();
  {
    const MemoryCacheLease outer;
    {
      const MemoryCacheLease inner;
      std::vector<at::Tensor> many;
      for (int i = 0; i < 8; ++i) many.push_back(large());
      kept = many.front();
    }
    CHECK(large().sum().item<float>() == doctest::Approx(1.5 * kFloats));
  }
  if (!kAddressSanitizer) CHECK(resident_bytes() - before < (std::int64_t{2} * kFloats * 4));
  CHECK(kept.min().item<float>() == 1.5F);
  kept.reset();
  if (!kAddressSanitizer) CHECK(resident_bytes() - before < kFloats * 4);
}

TEST_CASE("what is kept does not grow beyond what tensors have needed") {
  if (kAddressSanitizer) return;
  const MemoryCacheLease lease;
  const std::int64_t before = resident_bytes();
  for (std::int64_t step = 0; step < 40; ++step)
    large(kFloats + step * kFloats / 16);  // a new size each time
  CHECK(resident_bytes() - before < std::int64_t{5} * kFloats * 4);
}

TEST_CASE("threads may make, drop and pass on tensors") {
  const MemoryCacheLease lease;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int step = 0; step < 50; ++step) {
        const at::Tensor mine = at::full({(i + 1) << 17}, static_cast<float>(step));
        CHECK(mine.min().item<float>() == static_cast<float>(step));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace wasmgrad::training
