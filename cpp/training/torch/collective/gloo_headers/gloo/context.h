// What c10d/ProcessGroupGloo.hpp names of Gloo, whose headers torch's wheel does not carry: declarations of
// our own, behind shared pointers, so that nothing depends on a layout.
#pragma once

#include <chrono>

#include "gloo/transport/device.h"

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo
