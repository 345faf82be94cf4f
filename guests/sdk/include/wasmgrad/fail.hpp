// How a guest gives up: one sentence on standard error and an exit code, since it has no exceptions.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace wasmgrad {

/// Exit codes of the guests: what they were given is wrong, or how they were called is.
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
/// The owner asked to stop: no failure, and nothing is wrong.
inline constexpr int kExitInterrupted = 130;

[[noreturn, gnu::format(printf, 2, 0)]] inline void fail_with(int exit_code, const char* format,
                                                              std::va_list arguments) {
  std::fflush(stdout);
  std::fputs("error: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  std::exit(exit_code);
}

/// Prints "error: " and the sentence, and ends the guest with kExitFailure.
[[noreturn, gnu::format(printf, 1, 2)]] inline void fail(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  fail_with(kExitFailure, format, arguments);
}

/// The same with kExitUsage: a wrong command line.
[[noreturn, gnu::format(printf, 1, 2)]] inline void fail_usage(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  fail_with(kExitUsage, format, arguments);
}

/// Prints the sentence alone, and ends the guest with kExitInterrupted.
[[noreturn]] inline void interrupt(const char* sentence) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", sentence);
  std::exit(kExitInterrupted);
}

}  // namespace wasmgrad
