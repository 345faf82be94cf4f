// Threads that take parts of the jobs of one thread, which runs the plan. They join a job of their own accord
// while it is open: one that is late, or gone, is not waited for. Between jobs they sleep.
#pragma once

#include <cstdint>

namespace wg {

struct Job {
  void (*run)(const void* body, int begin, int end, void* scratch);
  const void* body;
  int count;
  int step;
  void* scratch;  // of the thread that runs the plan
};

/// Learns where the memory of other threads is.
void find_threads();

/// How many of `count` steps, of `cost` floating-point operations each, make a part that is worth the
/// trouble: all of them when no other thread is there, or for little work.
int part_of(int count, std::int64_t cost);

/// How many rows and columns of a product a part of it has.
struct Division {
  int rows;
  int columns;
};

inline constexpr int kRowsOfPart = 8;

Division divide(int rows, int row_block, int columns, int column_step, std::int64_t cost);

/// Threads that are there, with the one that runs the plan.
int present();

/// Runs all parts of a job; returns when they are done, or when the pool was stopped.
void share(const Job& job);

/// What another thread does until the pool is stopped. scratch: its own.
void serve(void* scratch);

/// Makes all threads return from serve(), and from then on stopped() true: what was computed is incomplete.
void stop();
bool stopped();

/// Says that the thread that runs the plan must not sleep, as that of a page.
void never_sleep();

}  // namespace wg
