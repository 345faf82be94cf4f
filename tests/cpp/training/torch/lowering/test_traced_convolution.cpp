// The operator that traces record for convolutions.
#include <doctest/doctest.h>

#include <string>

#include "reference.hpp"

namespace wasmgrad::training::lowering {

TEST_CASE("convolutions of a trace run as those of a script do") {
  struct Case {
    const char *conv, *becomes;
    bool rewritten;
  };
  const Case cases[] = {
      {"torch._convolution(x, self.w, self.b, [2, 1], [1, 2], [1, 1], False, [0, 0], 1, False, False, True, "
       "True)",
       "aten::conv2d", true},
      {"torch._convolution(x, self.g, None, [1, 1], [1, 1], [2, 1], False, [0, 0], 2, False, False, True, "
       "True)",
       "aten::conv2d", true},
      {"torch._convolution(x, self.t, self.b, [2, 2], [1, 0], [1, 1], True, [1, 0], 1, False, False, True, "
       "True)",
       "aten::conv_transpose2d", true},
      {"torch._convolution(x.flatten(2), self.o, self.b, [2], [1], [1], False, [0], 1, False, False, True, "
       "True)",
       "aten::conv1d", false},
  };
  for (const auto& [conv, becomes, rewritten] : cases) {
    CAPTURE(std::string(conv));
    const auto module =
        ModuleBuilder()
            .parameter("w", {6, 4, 3, 3})
            .parameter("g", {6, 2, 3, 3})
            .parameter("t", {4, 6, 3, 3})
            .parameter("o", {6, 4, 3})
            .parameter("b", {6})
            .define(std::string("def forward(self, x):\n    return torch.tanh(") + conv + ")\n");
    CHECK(has_operator(module, becomes) == rewritten);
    CHECK(difference(module, normals({5, 4, 9, 8})) < 2e-5);
  }
}

}  // namespace wasmgrad::training::lowering
