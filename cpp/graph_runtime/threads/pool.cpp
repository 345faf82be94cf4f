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
constexpr int kTailShare = 4;  // the end of a job takes a fourth of a part

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

int round_up(int value, int multiple) { return pieces(value, multiple) * multiple; }

// Of a part, by what a product of one row and column costs: a row is packed for each part, and the weights of
// a column come from a farther cache for each block of rows.
std::int64_t cost_of(const Division& part, int row_block) {
  constexpr int kPacking = 10;
  constexpr int kFetching = 3;
  return std::int64_t{part.rows} * part.columns + kPacking * part.rows +
         kFetching * part.columns * pieces(part.rows, row_block);
}

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
  const int even = pieces(count, threads * kPartsOfThread);
  const std::int64_t worth = (kLeastCost - 1) / (cost > 0 ? cost : 1) + 1;
  if (worth >= count) return count;
  return worth > even ? static_cast<int>(worth) : even;
}

Division divide(int rows, int row_block, int columns, int column_step, std::int64_t cost) {
  const int threads = present();
  const std::int64_t worth = cost * rows * columns / kLeastCost;
  Division best{rows, columns};
  if (threads == 1 || worth < 2 || busy()) return best;
  std::int64_t least = INT64_MAX;
  for (int parts = threads; parts <= threads * kPartsOfThread && parts <= worth; parts *= 2) {
    for (int down = 1; down <= parts; ++down) {
      const Division division{round_up(pieces(rows, down), kRowsOfPart),
                              round_up(pieces(columns, pieces(parts, down)), column_step)};
      const std::int64_t made = std::int64_t{pieces(rows, division.rows)} * pieces(columns, division.columns);
      // With the last parts some threads wait for others.
      const std::int64_t time = (kTailShare * made + threads) * cost_of(division, row_block);
      if (time >= least) continue;
      least = time;
      best = division;
    }
  }
  return best;
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
