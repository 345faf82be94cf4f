#include "wasmgrad/sandbox/handle_quota.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

namespace wasmgrad::sandbox {

namespace {

// What the host keeps of the hard limit, for a guest that may use all that the process can have.
constexpr rlim_t kReserve = 64;

bool is_free(rlim_t descriptor) noexcept { return ::fcntl(static_cast<int>(descriptor), F_GETFD) < 0; }

}  // namespace

// The kernel gives out the lowest free descriptor below the soft limit, so that what counts is how many are
// free there. The limit is the first free one that the guest may not have: those that it holds lie below, and
// may be given back and taken again.
void HandleQuota::enter_guest() noexcept {
  if (!left_) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t most = limit.rlim_max - std::min(limit.rlim_max, kReserve);
  limit.rlim_cur = 0;
  for (std::uint32_t free = 0; limit.rlim_cur < most; ++limit.rlim_cur) {
    if (is_free(limit.rlim_cur) && free++ == *left_) break;
  }
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void HandleQuota::leave_guest() noexcept {
  if (!left_) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  left_ = 0;
  for (rlim_t descriptor = 0; descriptor < limit.rlim_cur; ++descriptor) {
    if (is_free(descriptor)) ++*left_;
  }
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace wasmgrad::sandbox
