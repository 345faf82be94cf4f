#include "wasmgrad/training/torch/tune_process.hpp"

#include <malloc.h>

namespace wasmgrad::training {

void tune_process() noexcept {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

}  // namespace wasmgrad::training
