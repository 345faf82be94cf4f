// What the compiler generates for one model: its plans, as functions. The graph runtime calls them; nothing
// else does.
//
// A plan is a straight line of kernel calls with inputs and outputs of its own. All plans have the weights
// and the states in common. Some are for any number of samples up to one that they were laid out for: their
// batch, 0 in other plans.
//
// All offsets are in bytes from one base, 64-byte aligned: weights, then workspace (intermediates, then
// inputs and outputs), then the scratch memory of generated kernels, then what other threads have. Weights
// are stored from the base on, as they are read, or in fewer bytes: then loading makes the others of them,
// for which it also uses the place of intermediates. Generated functions can only return 0, so results go
// through pointers.
#pragma once

#include <cstdint>

extern "C" {

/// Whether there is such a plan for so many samples: then `*taken` is how many it takes, which for a batch of
/// 0 is the most that it can. Else it is left as it is.
std::int32_t plan_select(std::int32_t plan, std::int32_t batch, std::int32_t* taken);
/// Writes into the memory what the calls of a plan read of its batch. To be called before they run.
std::int32_t plan_prepare(std::int32_t plan, std::int32_t batch, std::uint8_t* base);

/// The offset of an input or output of a plan; `*offset` is left as it is when there is none of that index.
std::int32_t plan_input(std::int32_t plan, std::int32_t index, std::int32_t* offset);
std::int32_t plan_output(std::int32_t plan, std::int32_t index, std::int32_t* offset);
/// Likewise of a tensor that one run leaves to the next, whatever its plan.
std::int32_t plan_state(std::int32_t index, std::int32_t* offset);

/// The offset of the scratch memory of generated kernels, the last part of the memory.
std::int32_t plan_scratch(std::int32_t* offset);

/// How many threads there may be, where the memory of the second one begins, and how many bytes each has: a
/// stack, and as much scratch memory as any kernel of ours takes.
std::int32_t plan_threads(std::int32_t* count, std::int32_t* offset, std::int32_t* bytes);

/// Sets `*embedded` to 1 when the weights are in the module, `*loads` when they must be loaded before a run;
/// leaves them as they are otherwise.
std::int32_t plan_weights(std::int32_t* embedded, std::int32_t* loads);

/// Makes what kernels read of the weights that are stored. To be called once.
std::int32_t plan_load(std::uint8_t* base);

/// Runs all calls of a plan in order.
std::int32_t plan_run(std::int32_t plan, std::int32_t batch, std::uint8_t* base);
/// Runs one call of a plan and sets `*ran` to 1; leaves it as it is when there is none of that index.
std::int32_t plan_call(std::int32_t plan, std::int32_t batch, std::int32_t index, std::uint8_t* base,
                       std::int32_t* ran);

}  // extern "C"
