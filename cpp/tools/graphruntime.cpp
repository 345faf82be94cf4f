// wasm-graphruntime -c MODULE -i IMAGE: says what is on a picture. Whatever the module does to this process
// harms nothing else.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "wasmgrad/base/byte_size.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/graph/executor.hpp"
#include "wasmgrad/tools/cache_dir.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/tools/old_spelling.hpp"
#include "wasmgrad/tools/picture.hpp"
#include "wasmgrad/tools/preprocess.hpp"

namespace {

using namespace wasmgrad;
using namespace wasmgrad::tools;
namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxImageBytes = std::uint64_t{256} << 20;
constexpr std::size_t kBest = 5;

struct Options {
  fs::path module, image, labels, weights, cache_dir;
  std::uint32_t max_memory_pages = 65536;
  std::uint32_t repeat = 1;
};

// `result` with the name of the file that it came from in front of its error.
template <class T>
Expected<T> of(const fs::path& file, Expected<T> result) {
  if (!result) return result.error().within(file.string());
  return result;
}

Expected<graph::Executor> load(const Options& options) {
  graph::ExecutorConfig config;
  WASMGRAD_ASSIGN(config.module, of(options.module, ByteSource::open(options.module)));
  // Weights that nobody named are beside the module, if it has any.
  fs::path beside = options.module;
  beside.replace_extension(".weights");
  const fs::path& file = options.weights.empty() ? beside : options.weights;
  if (!options.weights.empty() || fs::exists(beside)) {
    WASMGRAD_ASSIGN(config.weights, of(file, ByteSource::open(file)));
  }
  config.max_memory_pages = options.max_memory_pages;
  config.aot_cache = options.cache_dir;
  return of(options.module, graph::Executor::create(config));
}

Expected<std::vector<std::string>> class_names(const fs::path& file, const graph::Metadata& metadata,
                                               std::size_t classes) {
  std::vector<std::string> names = metadata.labels.value_or(std::vector<std::string>());
  if (!file.empty()) {
    WASMGRAD_ASSIGN(const std::vector<std::byte> bytes, read_file(file, kMaxTextBytes));
    std::istringstream lines(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    names.clear();
    for (std::string line; std::getline(lines, line);) names.push_back(line);
  }
  if (names.empty() || names.size() == classes) return names;
  return Error{Errc::kInvalidArgument, std::to_string(names.size()) + " labels for " +
                                           std::to_string(classes) + " classes; expected one for each"};
}

// The values of the first output.
Expected<std::vector<float>> scores_of(const graph::Executor& executor) {
  const auto& outputs = executor.plan().outputs;
  if (outputs.empty() || outputs.front().dtype != "float32" || outputs.front().bytes == 0) {
    return Error{Errc::kUnsupportedOperation, "the module's first output is not one of float32 scores"};
  }
  std::vector<float> scores(outputs.front().bytes / sizeof(float));
  WASMGRAD_CHECK(executor.read_output(0, std::as_writable_bytes(std::span(scores))));
  return scores;
}

// The first plan is the one for a single picture, where there is one.
Expected<graph::Preprocess> preprocess_of(const graph::Metadata& metadata, const graph::Plan& plan) {
  if (plan.inputs.size() != 1) {
    return Error{Errc::kInvalidArgument, "the module has " + std::to_string(plan.inputs.size()) +
                                             " inputs; expected one, for a picture"};
  }
  if (metadata.preprocess) return *metadata.preprocess;
  return imagenet_preprocess(plan.inputs.front());
}

// Milliseconds of each run, in ascending order. Each is a first one: it begins without what others left.
Expected<std::vector<double>> measure(graph::Executor& executor, std::uint32_t runs) {
  std::vector<double> times;
  for (std::uint32_t i = 0; i < runs; ++i) {
    WASMGRAD_CHECK(executor.reset());
    const auto start = std::chrono::steady_clock::now();
    WASMGRAD_CHECK(executor.run());
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(times);
  return times;
}

void print_classes(const std::vector<Class>& best, const std::vector<std::string>& names) {
  const auto name = [&](const Class& one) { return names.empty() ? std::string() : " " + names[one.number]; };
  std::printf("input image belongs to the class: %zu%s\n", best.front().number, name(best.front()).c_str());
  for (const Class& one : best) std::printf("%6zu %.4f%s\n", one.number, one.probability, name(one).c_str());
}

Status classify(const Options& options) {
  WASMGRAD_ASSIGN(graph::Executor executor, load(options));
  const graph::Metadata& metadata = executor.metadata();
  WASMGRAD_ASSIGN(const graph::Preprocess how, of(options.module, preprocess_of(metadata, executor.plan())));
  WASMGRAD_ASSIGN(const std::vector<std::byte> file, read_file(options.image, kMaxImageBytes));
  WASMGRAD_ASSIGN(const Picture picture, of(options.image, decode_picture(file)));
  WASMGRAD_ASSIGN(const std::vector<float> tensor,
                  of(options.image, to_tensor(picture, how, executor.plan().inputs.front())));
  WASMGRAD_CHECK(executor.write_input(0, std::as_bytes(std::span(tensor))));
  WASMGRAD_ASSIGN(const std::vector<double> times, of(options.module, measure(executor, options.repeat)));
  WASMGRAD_ASSIGN(const std::vector<float> scores, of(options.module, scores_of(executor)));
  const fs::path& labelled = options.labels.empty() ? options.module : options.labels;
  WASMGRAD_ASSIGN(const std::vector<std::string> names,
                  of(labelled, class_names(options.labels, metadata, scores.size())));

  std::printf("original image dimensions: (%u, %u)\n", picture.width, picture.height);
  std::printf("resized image dimensions: (%u, %u)\n", how.width, how.height);
  print_classes(best_classes(scores, kBest), names);
  if (times.size() > 1) {
    std::printf("%zu runs: median %.2f ms, p90 %.2f ms\n", times.size(), times[times.size() / 2],
                times[times.size() * 9 / 10]);
  }
  return {};
}

void add_memory_options(CLI::App& app, Options& options) {
  app.add_option_function<std::string>(
         "--memory",
         [&options](const std::string& text) {
           const auto pages = parse_memory_size(text);
           if (!pages) throw CLI::ValidationError("--memory", pages.error().message);
           options.max_memory_pages = *pages;
         },
         "Refuse a module that needs more memory, in bytes or as 512MiB")
      ->type_name("SIZE")
      ->default_str("4GiB");
  app.add_option_function<std::uint32_t>(
         "--max-memory-pages",
         [&options](const std::uint32_t& pages) {
           tell_old_spelling("wasm-graphruntime", "--max-memory-pages", "--memory SIZE");
           options.max_memory_pages = pages;
         },
         "")
      ->check(CLI::Range(1, 65536))
      ->group("");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Says what is on a picture, with a model compiled to WebAssembly.", "wasm-graphruntime");
  app.set_version_flag("--version", "wasm-graphruntime " WASMGRAD_VERSION);
  Options options;
  app.add_option("-c,--module", options.module, "The compiled model, a .wasm file")->required();
  app.add_option("-i,--image", options.image, "The picture, a JPEG or PNG file")->required();
  app.add_option("--labels", options.labels, "Class names, one a line, in place of the module's own");
  app.add_option("--weights", options.weights,
                 "The module's weights file; without it, the one beside the module");
  app.add_option("--repeat", options.repeat, "Runs the model this many times and shows the times")
      ->check(CLI::Range(1, 1'000'000));
  add_memory_options(app, options);
  app.add_option("--cache-dir", options.cache_dir, "Where compiled modules are kept; empty: nowhere")
      ->default_val(default_cache_dir());
  try {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    std::ranges::reverse(arguments);  // the order in which CLI11 takes them
    app.parse(std::move(arguments));
    const Status status = classify(options);
    if (status) return kExitOk;
    std::fprintf(stderr, "wasm-graphruntime: %s\n", status.error().message.c_str());
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "wasm-graphruntime: %s\n", error.what());
  }
  return kExitError;
}
