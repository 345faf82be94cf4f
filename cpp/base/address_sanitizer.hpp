// Whether this build runs under AddressSanitizer, whose shadow memory fits no limit and whose checks take
// time.
#pragma once

namespace wasmgrad {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
#endif

}  // namespace wasmgrad
