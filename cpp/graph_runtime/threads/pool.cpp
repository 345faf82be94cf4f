#include "wasmgrad/graph_runtime/threads/pool.hpp"

#include "wasmgrad/graph_runtime/threads/sleep.hpp"

namespace wg {
namespace {

// Bits of `state`; those below kOpen count the threads that are inside the job.
constexpr std::int32_t kOpen = 1 << 16;
constexpr std::int32_t kStopped = 1 << 17;
constexpr std::int32_t kInside = kOpen - 1;

// Work that takes as long as waking another thread, and how many parts there are for each thread, so that one
// that is slower takes fewer.
constexpr std::int64_t kLeastCost = 400000;
constexpr int kPartsOfThread = 4;

Job job;  // written while it is closed and nobody inside
std::int32_t state = 0;
std::int32_t next = 0;        // the first step that nobody has taken yet
std::int32_t generation = 0;  // of the job, and of stopping
std::int32_t sleepers = 0;    // threads that sleep until the generation changes
std::int32_t others = 0;      // threads that serve
bool may_sleep = true;

std::int32_t get(const std::int32_t& from) { return __atomic_load_n(&from, __ATOMIC_SEQ_CST); }
std::int32_t add(std::int32_t& to, std::int32_t more) {
  return __atomic_fetch_add(&to, more, __ATOMIC_SEQ_CST);
}

// Whether `word` changes while waiting awake.
bool changed(const std::int32_t& word, std::int32_t from) {
  for (int turn = 0; turn < kTurnsAwake; ++turn) {
    if (get(word) != from) return true;
    relax();
  }
  return false;
}

// Whether a job is under way: then this is part of one. Or all is over.
bool busy() { return get(state) != 0; }

int pieces(int of, int size) { return (of - 1) / size + 1; }

int smaller(int a, int b) { return a < b ? a : b; }

bool join() {
  std::int32_t seen = get(state);
  while ((seen & kOpen) != 0 && (seen & kStopped) == 0) {
    if (__atomic_compare_exchange_n(&state, &seen, seen + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return true;
  }
  return false;
}

void leave() {
  if (add(state, -1) == 1) wake(&state);  // the last one, of a job that is closed
}

void take_parts(void* scratch) {
  const Job own = job;
  for (;;) {
    const std::int32_t begin = add(next, own.step);
    if (begin >= own.count) return;
    own.run(own.body, begin, own.count - begin < own.step ? own.count : begin + own.step, scratch);
  }
}

void announce() {
  add(generation, 1);
  if (get(sleepers) > 0) wake(&generation);
}

// Until nobody is inside any more.
void close() {
  std::int32_t seen = __atomic_and_fetch(&state, ~kOpen, __ATOMIC_SEQ_CST);
  while ((seen & kInside) != 0 && (seen & kStopped) == 0) {
    if (!changed(state, seen) && may_sleep) sleep(&state, seen);
    seen = get(state);
  }
}

}  // namespace

int present() { return get(others) + 1; }

int part_of(int count, std::int64_t cost) {
  const int threads = present();
  if (threads == 1 || busy()) return count;
  const int even = (count - 1) / (threads * kPartsOfThread) + 1;
  const std::int64_t least = (kLeastCost - 1) / (cost > 0 ? cost : 1) + 1;
  return least > even ? (least < count ? static_cast<int>(least) : count) : even;
}

Division divide(int rows, int row_block, int columns, int column_step, std::int64_t cost) {
  const int threads = present();
  const std::int64_t worth = cost * rows * columns / kLeastCost;
  const int parts = worth < threads * kPartsOfThread ? static_cast<int>(worth) : threads * kPartsOfThread;
  if (threads == 1 || parts < 2 || busy()) return {rows, columns};
  const int blocks = pieces(rows, row_block);
  const int across = blocks >= parts ? 1 : smaller(pieces(columns, column_step), pieces(parts, blocks));
  const int down = smaller(pieces(rows, kRowsOfPart), pieces(parts, across));
  return {pieces(pieces(rows, down), kRowsOfPart) * kRowsOfPart,
          pieces(pieces(columns, across), column_step) * column_step};
}

void share(const Job& given) {
  job = given;
  __atomic_store_n(&next, 0, __ATOMIC_SEQ_CST);
  __atomic_or_fetch(&state, kOpen, __ATOMIC_SEQ_CST);
  announce();
  take_parts(given.scratch);
  close();
}

void serve(void* scratch) {
  add(others, 1);
  std::int32_t seen = get(generation) - 1;
  while (!stopped()) {
    const std::int32_t current = get(generation);
    if (current != seen) {
      seen = current;
      if (!join()) continue;
      take_parts(scratch);
      leave();
    } else if (!changed(generation, seen)) {
      add(sleepers, 1);
      sleep(&generation, seen);
      add(sleepers, -1);
    }
  }
  add(others, -1);
}

void stop() {
  __atomic_or_fetch(&state, kStopped, __ATOMIC_SEQ_CST);
  add(generation, 1);
  wake(&generation);
  wake(&state);
}

bool stopped() { return (get(state) & kStopped) != 0; }

void never_sleep() { may_sleep = false; }

}  // namespace wg
