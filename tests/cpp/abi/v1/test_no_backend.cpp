// A host that was built without a training back end says so.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "guest.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

TEST_CASE("without a back end a model is refused, and the sentence says why") {
  Guest guest;
  const std::uint32_t model = guest.reserve(4);
  const std::vector<std::uint8_t> bytes{'P', 'K', 3, 4};
  CHECK(guest.call("model_load", guest.put(bytes), bytes.size(), 0, 0, model) ==
        errno_of(Errc::kUnsupportedOperation));
  CHECK(guest.last_error().find("without a training back end") != std::string::npos);
}
