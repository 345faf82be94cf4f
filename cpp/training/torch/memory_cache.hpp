// Memory of large tensors that is used again. A training step makes and drops the same tensors each time, and
// the system would take their pages away and fill new ones with zeros: an eighth of a ResNet's step. No
// torch.
#pragma once

namespace wasmgrad::training {

/// While one lives, the large blocks that CPU tensors of this process give back are kept for the next ones;
/// the last one gives all of them back to the system. What tensors and kept blocks take together stays within
/// a tenth of the most that tensors alone have taken. May be made and dropped on any thread.
class MemoryCacheLease {
 public:
  MemoryCacheLease();
  ~MemoryCacheLease();
  MemoryCacheLease(const MemoryCacheLease&) = delete;
  MemoryCacheLease& operator=(const MemoryCacheLease&) = delete;
};

}  // namespace wasmgrad::training
