#include "guest.hpp"

namespace wasmgrad::test {

const training::Backend* backend() { return nullptr; }

}  // namespace wasmgrad::test
