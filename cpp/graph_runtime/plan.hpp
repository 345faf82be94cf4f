// What the compiler generates for one model: its plan, as functions. The graph runtime calls them; nothing
// else does.
//
// All offsets are in bytes from one base, 64-byte aligned: weights, then workspace (inputs, outputs,
// intermediates), then the scratch memory of generated kernels, then what other threads have. Generated
// functions can only return 0, so results go through pointers.
#pragma once

#include <cstdint>

extern "C" {

/// The offset of an input or output; `*offset` is left as it is when there is none of that index.
std::int32_t plan_input(std::int32_t index, std::int32_t* offset);
std::int32_t plan_output(std::int32_t index, std::int32_t* offset);
/// Likewise of a tensor that one run leaves to the next.
std::int32_t plan_state(std::int32_t index, std::int32_t* offset);

/// The offset of the scratch memory of generated kernels, the last part of the memory.
std::int32_t plan_scratch(std::int32_t* offset);

/// How many threads there may be, where the memory of the second one begins, and how many bytes each has: a
/// stack, and as much scratch memory as any kernel of ours takes.
std::int32_t plan_threads(std::int32_t* count, std::int32_t* offset, std::int32_t* bytes);

/// Runs all calls of the plan in order.
std::int32_t plan_run(std::uint8_t* base);
/// Runs one call of the plan and sets `*ran` to 1; leaves it as it is when there is none of that index.
std::int32_t plan_call(std::int32_t index, std::uint8_t* base, std::int32_t* ran);

}  // extern "C"
