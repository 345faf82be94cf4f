// The threads that share the work of kernels (cpp/graph_runtime/threads).
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace {

constexpr std::int64_t kMuch = std::int64_t{1} << 24;  // a cost that is worth a thread

// Others that serve; the pool cannot be used again once it was stopped, so that all cases are in one.
class Team {
 public:
  explicit Team(int others) : scratch_(others) {
    for (int i = 0; i < others; ++i) threads_.emplace_back([this, i] { wg::serve(&scratch_[i]); });
    while (wg::present() <= others) std::this_thread::yield();
  }
  ~Team() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::vector<int> scratch_;
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("threads share the work of jobs until they are stopped") {
  int own = 0;
  int alone = 0;
  wg::in_parallel(10, kMuch, &own, [&](wg::Range part, void* scratch) {
    CHECK(part.begin == 0);
    CHECK(part.end == 10);
    CHECK(scratch == &own);
    ++alone;
  });
  CHECK(alone == 1);

  // A thread that ends inside a job, as by a trap, says so: nobody waits for it, nor for who is inside with
  // it, so this outlives the threads.
  std::atomic<bool> released = false;
  std::atomic<bool> died = false;
  const auto die_once = [&](wg::Range, void* scratch) {
    if (scratch == &own || died.exchange(true)) return;
    wg::stop();
    while (!released) std::this_thread::yield();
  };
  const Team team(3);
  for (int count : {1, 2, 7, 100, 1000}) {
    for (int run = 0; run < 300; ++run) {
      std::vector<int> done(count);  // each by one thread, seen by this one without a lock
      wg::in_parallel(count, kMuch, &own, [&](wg::Range part, void* scratch) {
        for (int i = part.begin; i < part.end; ++i) ++done[i];
        ++*static_cast<int*>(scratch);  // nobody else's
        wg::in_parallel(5, kMuch, scratch, [&](wg::Range inner, void* same) {
          CHECK_MESSAGE((count == 1 || (inner.begin == 0 && inner.end == 5 && same == scratch)),
                        "a part was divided");
        });
      });
      REQUIRE(done == std::vector<int>(count, 1));
    }
  }

  for (int rows : {1, 8, 49, 1000}) {
    for (int columns : {1, 24, 300}) {
      std::vector<int> done(rows * columns);
      wg::in_parallel(rows, 64, columns, 8, kMuch, &own, [&](wg::Range down, wg::Range across, void*) {
        CHECK(down.begin % wg::kRowsOfPart == 0);
        CHECK(across.begin % 8 == 0);
        for (int i = down.begin; i < down.end; ++i) {
          for (int j = across.begin; j < across.end; ++j) ++done[i * columns + j];
        }
      });
      REQUIRE(done == std::vector<int>(rows * columns, 1));
    }
  }

  while (!wg::stopped()) wg::in_parallel(100, kMuch, &own, die_once);
  CHECK(died);
  released = true;
  int after = 0;
  wg::in_parallel(10, kMuch, &own, [&](wg::Range, void*) { ++after; });
  CHECK(after == 1);
}
