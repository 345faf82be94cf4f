// The threads of a model compiled for this computer.
#pragma once

#include <cstdint>

namespace wg {

/// Starts up to `wanted` threads that serve, each with its memory behind `base` as the plan laid it out;
/// returns how many there are. To be called once.
std::int32_t start_threads(std::uint8_t* base, std::int32_t wanted);

/// Makes them end, and waits until they have.
void end_threads();

}  // namespace wg
