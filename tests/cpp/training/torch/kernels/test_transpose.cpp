#include <doctest/doctest.h>

#include <vector>

#include "wasmgrad/training/torch/kernels/transpose.hpp"

namespace wasmgrad::training::kernels {

TEST_CASE("every element of a ragged matrix lands at its mirrored place") {
  for (const std::int64_t rows : {1, 3, 4, 5, 16, 49}) {
    for (const std::int64_t columns : {1, 2, 4, 7, 8, 17}) {
      CAPTURE(rows);
      CAPTURE(columns);
      std::vector<float> in(static_cast<std::size_t>(rows * columns));
      for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
      std::vector<float> out(in.size(), -1);
      transpose(in.data(), rows, columns, out.data());
      bool mirrored = true;
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c)
          mirrored = mirrored && out[static_cast<std::size_t>(c * rows + r)] ==
                                     in[static_cast<std::size_t>(r * columns + c)];
      CHECK(mirrored);
    }
  }
}

}  // namespace wasmgrad::training::kernels
