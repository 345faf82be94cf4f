// Classifies a picture through wasi-nn: the guest reads the model and the picture, the host infers.
//
// It uses the definition's six functions only, so that it runs on other hosts that serve the model's format.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "picture.hpp"
#include "wasmgrad/fail.hpp"
#include "wasmgrad/wasi_nn.h"

namespace {

constexpr const char* kUsage = R"(usage: wasi_nn_classify.wasm MODEL PICTURE [LABELS]

Prints the five most probable classes of a picture.

  MODEL    a TorchScript archive or a compiled graph module that takes f32 [1, 3, 224, 224]
  PICTURE  a binary PPM file
  LABELS   names of the classes, one a line
)";

constexpr std::uint32_t kSide = 224, kClasses = 1000, kBest = 5;

std::string read_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) wasmgrad::fail("%s: cannot be opened", path.c_str());
  std::string contents;
  char buffer[65536];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;)
    contents.append(buffer, got);
  std::fclose(file);
  return contents;
}

void check(std::uint32_t status, const char* call) {
  if (status != WASI_NN_SUCCESS) wasmgrad::fail("%s failed with error %u", call, status);
}

std::vector<float> infer(const std::string& model, const std::vector<float>& tensor) {
  // Bytes of PyTorch are called by their name, which every host of that format knows.
  const bool is_archive = model.starts_with("PK");
  const wasi_nn_builder builder{model.data(), static_cast<std::uint32_t>(model.size())};
  wasi_nn_graph graph = 0;
  check(wasi_nn_load(&builder, 1, is_archive ? WASI_NN_PYTORCH : WASI_NN_AUTODETECT, WASI_NN_CPU, &graph),
        "load");
  wasi_nn_context context = 0;
  check(wasi_nn_init_execution_context(graph, &context), "init_execution_context");
  const std::uint32_t dims[] = {1, 3, kSide, kSide};
  const wasi_nn_tensor input{dims, 4, WASI_NN_F32, tensor.data(),
                             static_cast<std::uint32_t>(tensor.size() * sizeof(float))};
  check(wasi_nn_set_input(context, 0, &input), "set_input");
  check(wasi_nn_compute(context), "compute");
  std::vector<float> scores(kClasses);
  std::uint32_t written = 0;
  check(wasi_nn_get_output(context, 0, scores.data(), kClasses * sizeof(float), &written), "get_output");
  scores.resize(written / sizeof(float));
  return scores;
}

std::vector<float> softmax(std::vector<float> scores) {
  const float highest = *std::ranges::max_element(scores);
  for (float& score : scores) score = std::exp(score - highest);
  const float sum = std::accumulate(scores.begin(), scores.end(), 0.0F);
  for (float& score : scores) score /= sum;
  return scores;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::vector<float> tensor = imagenet_tensor(read_ppm(argv[2]), kSide);
  const std::vector<float> probabilities = softmax(infer(read_file(argv[1]), tensor));
  const std::vector<std::string> labels =
      argc == 4 ? lines_of(read_file(argv[3])) : std::vector<std::string>();
  std::vector<std::uint32_t> classes(probabilities.size());
  std::iota(classes.begin(), classes.end(), 0);
  std::ranges::stable_sort(classes, std::greater(), [&](std::uint32_t i) { return probabilities[i]; });
  for (std::uint32_t i = 0; i < std::min<std::size_t>(kBest, classes.size()); ++i) {
    const std::uint32_t number = classes[i];
    std::printf("%u %.4f%s%s\n", number, static_cast<double>(probabilities[number]),
                number < labels.size() ? " " : "", number < labels.size() ? labels[number].c_str() : "");
  }
  return 0;
}
