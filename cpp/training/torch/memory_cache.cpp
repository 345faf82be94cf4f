#include "wasmgrad/training/torch/memory_cache.hpp"

#include <c10/core/CPUAllocator.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>

#include "wasmgrad/base/address_sanitizer.hpp"

namespace wasmgrad::training {
namespace {

/// Smaller blocks are malloc's business, which keeps them too.
constexpr std::size_t kLeast = std::size_t{256} << 10U;
constexpr std::size_t kHugePage = std::size_t{2} << 20U;

/// Rounded up by an eighth at most, so that blocks of about one size can stand for each other.
std::size_t rounded(std::size_t bytes) {
  std::size_t step = kLeast / 8;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

void* system_block(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes) != 0) return nullptr;
  if (alignment == kHugePage) madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return block;
}

class MemoryCache final : public c10::Allocator {
 public:
  /// The process's, which exists from the first call on; it serves tensors that outlive everything else.
  static MemoryCache& instance() {
    static MemoryCache* const cache = [] {
      auto* made = new MemoryCache(c10::GetCPUAllocator());
      c10::SetCPUAllocator(made, /*priority=*/1);
      pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                     [] { instance().mutex_.unlock(); });
      return made;
    }();
    return *cache;
  }

  void lease() { ++leases_; }
  void end_lease() {
    if (--leases_ != 0) return;
    const std::scoped_lock lock(mutex_);
    drop_kept(0);
    most_used_ = used_;
  }

  at::DataPtr allocate(std::size_t bytes) override {
    if (leases_ == 0 || bytes < kLeast) return system_->allocate(bytes);
    void* block = take(rounded(bytes));
    if (block == nullptr) return system_->allocate(bytes);  // which says why
    return {block, block, &give_back, at::Device(at::kCPU)};
  }

  at::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  explicit MemoryCache(c10::Allocator* system) : system_(system) {}

  /// A kept block of that size or a little more, or a new one; null when there is no memory.
  void* take(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto found = kept_.lower_bound(bytes);
    void* block = nullptr;
    if (found != kept_.end() && found->first <= bytes + bytes / 4) {
      bytes = found->first;
      block = found->second;
      kept_bytes_ -= bytes;
      kept_.erase(found);
    } else {
      const std::size_t most = std::max(most_used_, used_ + bytes);
      const std::size_t room = most + most / 10 - (used_ + bytes);
      drop_kept(room);
      block = system_block(bytes);
      if (block == nullptr) {
        drop_kept(0);
        block = system_block(bytes);
      }
      if (block == nullptr) return nullptr;
    }
    sizes_.emplace(block, bytes);
    used_ += bytes;
    most_used_ = std::max(most_used_, used_);
    return block;
  }

  static void give_back(void* block) {
    MemoryCache& cache = instance();
    {
      const std::scoped_lock lock(cache.mutex_);
      const auto found = cache.sizes_.find(block);
      if (found != cache.sizes_.end()) {
        cache.used_ -= found->second;
        if (cache.leases_ != 0) {
          cache.kept_bytes_ += found->second;
          cache.kept_.emplace(found->second, block);
        } else {
          std::free(block);
        }
        cache.sizes_.erase(found);
        return;
      }
    }
    cache.system_->raw_deleter()(block);
  }

  /// Until no more than `bytes` are kept: the largest first, of which there are fewest.
  void drop_kept(std::size_t bytes) {
    while (kept_bytes_ > bytes) {
      const auto largest = std::prev(kept_.end());
      kept_bytes_ -= largest->first;
      std::free(largest->second);
      kept_.erase(largest);
    }
  }

  c10::Allocator* const system_;
  std::atomic<int> leases_ = 0;
  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> sizes_;  ///< of the blocks that tensors have
  std::multimap<std::size_t, void*> kept_;
  std::size_t used_ = 0, most_used_ = 0, kept_bytes_ = 0;
};

}  // namespace

// AddressSanitizer sees who uses memory that was given back only where it is given back.
MemoryCacheLease::MemoryCacheLease() {
  if (!kAddressSanitizer) MemoryCache::instance().lease();
}

MemoryCacheLease::~MemoryCacheLease() {
  if (!kAddressSanitizer) MemoryCache::instance().end_lease();
}

}  // namespace wasmgrad::training
