// The program wasm-graphruntime, run as a user runs it.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>

#include "../graph/probe.hpp"
#include "../support.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

// A picture of 2 x 2 grey pixels, 10 20 30 40, as PNG.
constexpr unsigned char kPicture[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d,
                                      0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02,
                                      0x08, 0x00, 0x00, 0x00, 0x00, 0x57, 0xdd, 0x52, 0xf8, 0x00, 0x00, 0x00,
                                      0x0e, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xe4, 0xe2, 0x62, 0x11,
                                      0xe1, 0x02, 0x00, 0x00, 0xa4, 0x00, 0x38, 0xff, 0x16, 0xfe, 0x08, 0x00,
                                      0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

struct Outcome {
  int exit_code;
  std::string text;  // both streams
};

Outcome run(const std::string& arguments) {
  FILE* pipe = ::popen((std::string(TOOL) + " " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  char buffer[4096];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, got);
  const int status = ::pclose(pipe);
  REQUIRE(WIFEXITED(status));
  return {WEXITSTATUS(status), text};
}

// A directory with a module that multiplies the four pixels by the weights 1, 2, 3, 0.5, its weights, and a
// picture.
class Workplace {
 public:
  explicit Workplace(const Json& labels = nullptr) {
    Json metadata = probe_metadata();
    metadata["inputs"][0]["shape"] = {1, 1, 2, 2};
    metadata["labels"] = labels;
    metadata["preprocess"] = {
        {"kind", "image"},  {"resize", nullptr}, {"crop", 2},     {"interpolation", "nearest"},
        {"layout", "NCHW"}, {"color", "L"},      {"scale", 0.01}, {"mean", {0}},
        {"std", {1}}};
    directory_.write("model.wasm", text_of(with_metadata(probe_code(), metadata)));
    directory_.write("model.weights", text_of(std::as_bytes(std::span(kProbeWeights))));
    directory_.write("picture.png", text_of(std::as_bytes(std::span(kPicture))));
  }

  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }

  [[nodiscard]] Outcome classify(const std::string& more = "") const {
    return run("-c " + at("model.wasm") + " -i " + at("picture.png") + " --cache-dir '' " + more);
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (directory_ / name).string(); }

 private:
  TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("a picture is classified") {
  const Outcome outcome = Workplace({"ant", "bee", "cat", "dog"}).classify();
  CHECK(outcome.exit_code == 0);
  // Of the scores 0.1, 0.4, 0.9 and 0.2.
  CHECK(outcome.text ==
        "original image dimensions: (2, 2)\n"
        "resized image dimensions: (2, 2)\n"
        "input image belongs to the class: 2 cat\n"
        "     2 0.3918 cat\n"
        "     1 0.2376 bee\n"
        "     3 0.1946 dog\n"
        "     0 0.1760 ant\n");
}

TEST_CASE("without labels classes are numbers") {
  CHECK(Workplace().classify().text.find("input image belongs to the class: 2\n") != std::string::npos);
}

TEST_CASE("labels of a file take the place of the module's") {
  const Workplace here({"ant", "bee", "cat", "dog"});
  here.directory().write("labels.txt", "one\ntwo\nthree\nfour\n");
  const Outcome outcome = here.classify("--labels " + here.at("labels.txt"));
  CHECK(outcome.text.find("input image belongs to the class: 2 three\n") != std::string::npos);
  here.directory().write("labels.txt", "one\ntwo\n");
  const Outcome wrong = here.classify("--labels " + here.at("labels.txt"));
  CHECK(wrong.exit_code == 3);
  CHECK(wrong.text.find("2 labels for 4 classes; expected one for each") != std::string::npos);
}

TEST_CASE("repeated runs are measured") {
  CHECK(Workplace().classify("--repeat 20").text.find("20 runs: median ") != std::string::npos);
}

TEST_CASE("weights are found beside the module, or where they are said to be") {
  const Workplace here;
  std::filesystem::rename(here.directory() / "model.weights", here.directory() / "other");
  const Outcome missing = here.classify();
  CHECK(missing.exit_code == 3);
  CHECK(missing.text.find("model.wasm: weights: missing") != std::string::npos);
  CHECK(here.classify("--weights " + here.at("other")).exit_code == 0);
}

TEST_CASE("each failure is one sentence that names the file") {
  const Workplace here;
  const auto refused = [&](const std::string& file, const std::string& contents) {
    here.directory().write(file, contents);
    const Outcome outcome = here.classify();
    CHECK(outcome.exit_code == 3);
    CHECK(outcome.text.starts_with("wasm-graphruntime: " + here.at(file) + ": "));
    CHECK(std::ranges::count(outcome.text, '\n') == 1);
    return outcome.text;
  };
  CHECK(refused("picture.png", "text").find("not a picture") != std::string::npos);
  CHECK(refused("model.wasm", "text").find("not a WebAssembly module") != std::string::npos);
}

TEST_CASE("a call without a module or a picture is explained") {
  CHECK(run("").exit_code == 2);
  CHECK(run("-c module.wasm").text.find("--image is required") != std::string::npos);
}

TEST_CASE("a file that is not there is named") {
  const Outcome outcome = run("-c /no/such/module.wasm -i picture.png");
  CHECK(outcome.exit_code == 3);
  CHECK(outcome.text.find("/no/such/module.wasm") != std::string::npos);
}
