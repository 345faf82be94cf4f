// Process-wide allocator settings that suit training. Without torch.
//
// A tool or worker process that exists to train calls this first thing in main(); the library never does,
// because a host program that embeds it decides about its own allocator.
#pragma once

namespace wasmgrad::training {

/// Keeps freed tensor memory in the process, where the next step takes it without page faults.
void tune_process() noexcept;

}  // namespace wasmgrad::training
