#include <doctest/doctest.h>

#include <map>
#include <string>

#include "../../support.hpp"
#include "wasmgrad/training/collective/rendezvous.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using wasmgrad::test::error_of;

namespace {

using Variables = std::map<std::string, std::string>;

const Variables kTorchrun{
    {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "29500"}};

Expected<Rendezvous> read(Variables variables) {
  return Rendezvous::from_environment([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

Variables with(const std::string& name, const std::string& value) {
  Variables changed = kTorchrun;
  changed[name] = value;
  return changed;
}

}  // namespace

TEST_CASE("what torchrun sets says where the processes meet") {
  const auto found = read(kTorchrun);
  REQUIRE(found);
  CHECK(found->rank == 1);
  CHECK(found->size == 2);
  CHECK(found->address == "10.0.0.1");
  CHECK(found->port == 29500);
  CHECK(found->attempt == 0);
}

TEST_CASE("the first process is the store, unless torchrun's agent is") {
  CHECK_FALSE(read(kTorchrun)->is_server);
  CHECK(read(with("RANK", "0"))->is_server);
  Variables agent = with("RANK", "0");
  agent["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  agent["TORCHELASTIC_RESTART_COUNT"] = "2";
  CHECK_FALSE(read(agent)->is_server);
  CHECK(read(agent)->attempt == 2);
}

TEST_CASE("a variable that is missing is named, and who sets it") {
  for (const auto& [name, value] : kTorchrun) {
    Variables fewer = kTorchrun;
    fewer.erase(name);
    const Error error = error_of(read(fewer));
    CHECK(error.code == Errc::kInvalidArgument);
    CHECK(error.message.find(name + " is not set") != std::string::npos);
    CHECK(error.message.find("torchrun") != std::string::npos);
  }
}

TEST_CASE("a variable that is no such value is named with it") {
  for (const auto& [name, value] :
       std::multimap<std::string, std::string>{{"RANK", "2"},
                                               {"RANK", "-1"},
                                               {"WORLD_SIZE", "0"},
                                               {"WORLD_SIZE", "two"},
                                               {"MASTER_PORT", "65536"},
                                               {"TORCHELASTIC_RESTART_COUNT", "1x"}}) {
    const Error error = error_of(read(with(name, value)));
    CHECK(error.code == Errc::kInvalidArgument);
    CHECK(error.message.find(name + " is '" + value + "'") != std::string::npos);
  }
}
