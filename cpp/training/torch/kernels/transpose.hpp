// Dense matrix transposition, blocked for the cache. No torch.
#pragma once

#include <cstdint>

namespace wasmgrad::training::kernels {

/// out[c * rows + r] = in[r * columns + c].
void transpose(const float* in, std::int64_t rows, std::int64_t columns, float* out) noexcept;

}  // namespace wasmgrad::training::kernels
