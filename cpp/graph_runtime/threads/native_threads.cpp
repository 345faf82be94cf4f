#include "wasmgrad/graph_runtime/threads/native_threads.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "wasmgrad/graph_runtime/plan.hpp"
#include "wasmgrad/graph_runtime/threads/pool.hpp"

namespace wg {
namespace {

constexpr std::int32_t kMostThreads = 64;  // as compiler/_options.py has it

pthread_t threads[kMostThreads];
std::int32_t started = 0;
pid_t owner = 0;  // a child of it has memory with these threads in it, but not the threads

void* serve_with(void* scratch) {
  serve(scratch);
  return nullptr;
}

}  // namespace

std::int32_t start_threads(std::uint8_t* base, std::int32_t wanted) {
  std::int32_t count = 0;
  std::int32_t offset = 0;
  std::int32_t bytes = 0;
  plan_threads(&count, &offset, &bytes);
  if (wanted > count - 1) wanted = count - 1;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // signals are the caller's
  owner = getpid();
  while (started < wanted &&
         pthread_create(&threads[started], nullptr, serve_with, base + offset + started * bytes) == 0) {
    ++started;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void end_threads() {
  if (started == 0 || owner != getpid()) return;
  stop();
  for (std::int32_t i = 0; i < started; ++i) pthread_join(threads[i], nullptr);
  started = 0;
}

}  // namespace wg
