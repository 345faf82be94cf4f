#include "wasmgrad/training/torch/compute_scope.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <thread>

namespace wasmgrad::training {

int usable_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

ComputeScope::ComputeScope(int threads) : threads_(at::get_num_threads()) {
  at::Context& context = at::globalContext();
  deterministic_ = context.deterministicAlgorithms();
  warn_only_ = context.deterministicAlgorithmsWarnOnly();
  fill_ = context.deterministicFillUninitializedMemory();
  generator_state_ = at::detail::getDefaultCPUGenerator().get_state();
  if (threads != threads_) at::set_num_threads(threads);
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  // It would fill every new tensor; nothing here reads one before it is written.
  context.setDeterministicFillUninitializedMemory(false);
}

ComputeScope::~ComputeScope() {
  at::Context& context = at::globalContext();
  if (at::get_num_threads() != threads_) at::set_num_threads(threads_);
  context.setDeterministicAlgorithms(deterministic_, warn_only_);
  context.setDeterministicFillUninitializedMemory(fill_);
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_state(generator_state_);
}

}  // namespace wasmgrad::training
