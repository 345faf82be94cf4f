// Whole archives: the manifest of honest and hostile ones, and thousands of damaged copies of the MNIST
// model.
#include <doctest/doctest.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "bytes.hpp"
#include "wasmgrad/training/torch/vet/vet.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using vet::test::as_bytes;

namespace {

std::filesystem::path folder() {
  const char* path = std::getenv("WASMGRAD_ATTACKS");
  REQUIRE_MESSAGE(path != nullptr, "WASMGRAD_ATTACKS must name the folder that make_attacks.py filled");
  return path;
}

std::string read(const std::string& name) {
  std::ifstream file(folder() / name, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), name);
  return {std::istreambuf_iterator<char>(file), {}};
}

nlohmann::json manifest() { return nlohmann::json::parse(read("manifest.json")); }

}  // namespace

TEST_CASE("honest models are accepted, and load") {
  const nlohmann::json accept = manifest().at("accept");
  REQUIRE(accept.size() >= 14);
  for (const std::string name : accept) {
    CAPTURE(name);
    const std::string bytes = read(name);
    const Status status = vet_archive(as_bytes(bytes));
    CHECK_MESSAGE(status.ok(), status.error().message);
    std::istringstream stream(bytes);
    CHECK_NOTHROW(torch::jit::load(stream, at::kCPU));
  }
}

TEST_CASE("hostile archives are refused with the right reason") {
  const nlohmann::json refuse = manifest().at("refuse");
  REQUIRE(refuse.size() >= 125);
  for (const nlohmann::json& attack : refuse) {
    const std::string name = attack.at("file");
    CAPTURE(name);
    const std::string bytes = read(name);
    const Status status = vet_archive(as_bytes(bytes));
    REQUIRE_FALSE(status.ok());
    CAPTURE(status.error().message);
    CHECK(errc_name(status.error().code) == attack.at("errc").get<std::string>());
    CHECK(status.error().message.find(attack.at("word").get<std::string>()) != std::string::npos);
    CHECK(status.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("limits are those of the caller") {
  const std::string bytes = read("mnist-cnn.pt");
  CHECK(vet_archive(as_bytes(bytes), {.max_storage_bytes = 1000}).error().code == Errc::kTooLarge);
  CHECK(vet_archive(as_bytes(bytes), {.max_code_bytes = 1000}).error().code == Errc::kTooLarge);
  CHECK(vet_archive(as_bytes(bytes), {.max_nesting = 3}).error().code == Errc::kTooLarge);
}

TEST_CASE("no truncation of a model is accepted") {
  const std::string bytes = read("plain.pt");
  for (std::size_t length = 0; length < bytes.size(); length += 7) {
    const std::string cut = bytes.substr(0, length);
    CAPTURE(length);
    CHECK_FALSE(vet_archive(as_bytes(cut)).ok());
  }
}

TEST_CASE("damaged headers, pickles and code never crash the vetting") {
  const std::string good = read("mnist-cnn.pt");
  // Everything but the tensors' own bytes: the pickle begins behind the last of them.
  const std::size_t start = good.find("mnist-cnn/data.pkl");
  REQUIRE(start != std::string::npos);
  std::mt19937 random(20240607);
  int refused = 0;
  constexpr int kRounds = 3000;
  std::string bytes = good;
  for (int round = 0; round < kRounds; ++round) {
    const std::size_t at = start + random() % (good.size() - start);
    bytes[at] = static_cast<char>(random());
    refused += vet_archive(as_bytes(bytes)).ok() ? 0 : 1;
    bytes[at] = good[at];
  }
  // A few positions do not matter (time stamps); almost all must be noticed.
  CHECK(refused > kRounds / 2);
  CHECK(vet_archive(as_bytes(bytes)).ok());
}
