// The directories and models that a plugin takes from the command line of the program that loaded it.
#include <doctest/doctest.h>

#include "wasmgrad/plugin/cli_grants.hpp"

using namespace wasmgrad;
using namespace wasmgrad::plugin;

namespace {

std::vector<Preopen> grants_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "wasmedge");
  return parse_cli_grants(arguments);
}

std::map<std::string, std::filesystem::path> models_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "wasmedge");
  return parse_cli_models(arguments);
}

}  // namespace

TEST_CASE("both spellings of --dir, and all three forms of its value, are read") {
  const auto grants =
      grants_of({"--dir", ".:/host", "--dir=/data:/d:readonly", "--dir", "plain", "guest.wasm"});
  REQUIRE(grants.size() == 3);
  CHECK(grants[0].guest_path == ".");
  CHECK(grants[0].host_path == "/host");
  CHECK_FALSE(grants[0].read_only);
  CHECK(grants[1].guest_path == "/data");
  CHECK(grants[1].read_only);
  CHECK(grants[2].guest_path == "plain");
  CHECK(grants[2].host_path == "plain");
}

TEST_CASE("what belongs to the guest grants nothing") {
  CHECK(grants_of({"guest.wasm", "--dir", "/:/"}).empty());
  CHECK(grants_of({"--", "guest.wasm", "--dir", "/:/"}).empty());
  CHECK(grants_of({"--env", "--dir", "guest.wasm", "/:/"}).empty());
  CHECK(grants_of({"--force-interpreter", "guest.wasm", "--dir=/:/"}).empty());
}

TEST_CASE("a subcommand and other options are passed over") {
  const auto grants =
      grants_of({"run", "--time-limit", "5", "--enable-gc", "--env=A=B", "--dir", ".:.", "guest.wasm"});
  REQUIRE(grants.size() == 1);
  CHECK(grants[0].guest_path == ".");
}

TEST_CASE("what does not parse grants nothing") {
  CHECK(grants_of({"--dir", "a:b:readwrite", "guest.wasm"}).empty());
  CHECK(grants_of({"--dir", ":", "guest.wasm"}).empty());
  CHECK(grants_of({"--dir"}).empty());
  CHECK(grants_of({}).empty());
}

TEST_CASE("models are preloaded by name") {
  const auto models = models_of({"--nn-preload", "a:PyTorch:CPU:/m/a.pt", "--dir", ".:.",
                                 "--nn-preload=b:autodetect:auto:c:\\b.wasm", "guest.wasm", "--nn-preload",
                                 "c:PyTorch:CPU:/m/c.pt"});
  REQUIRE(models.size() == 2);
  CHECK(models.at("a") == "/m/a.pt");
  CHECK(models.at("b") == "c:\\b.wasm");
}

TEST_CASE("a model in another format, for another device or without a file is not preloaded") {
  for (const char* value :
       {"a:GGML:CPU:f", "a:PyTorch:GPU:f", "a:PyTorch:CPU:", "a:PyTorch:CPU", ":PyTorch:CPU:f", ""})
    CHECK(models_of({"--nn-preload", value, "guest.wasm"}).empty());
}

TEST_CASE("the running program's own arguments are known") { CHECK_FALSE(own_arguments().empty()); }
