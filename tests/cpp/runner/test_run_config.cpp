// A run as JSON: what is read, what is refused, and that writing and reading agree.
#include <doctest/doctest.h>

#include "../support.hpp"
#include "wasmgrad/runner/run_config.hpp"

using namespace wasmgrad;
using namespace wasmgrad::runner;
using namespace wasmgrad::test;

TEST_CASE("a configuration needs a guest and has defaults for the rest") {
  const auto config = RunConfig::from_json(R"({"guest": "a.wasm"})");
  REQUIRE(config);
  CHECK(config->guest == "a.wasm");
  CHECK(config->limits.memory_pages == 16384);
  CHECK_FALSE(config->distributed);
  CHECK(config->view == View::kClassic);
  CHECK(error_of(RunConfig::from_json("{}")).message ==
        "guest is missing; expected the path of a .wasm file");
}

TEST_CASE("what is written is read back") {
  const char* json = R"({
    "guest": "g.wasm", "args": ["a", "b c"], "env": ["K=V", "E="],
    "dirs": [{"host": "/h", "guest": ".", "read_only": true}],
    "models": {"m": "/m.pt"}, "default_model": "/d.pt",
    "training": {"optimizer": "adamw", "learning_rate": 0.5, "nesterov": true, "loss": "mse", "schedule": "cosine", "epochs": 3,
                 "seed": 18446744073709551615, "threads": 2, "clip_norm": 1.5, "shuffle": false},
    "limits": {"memory_pages": 7, "wall_seconds": 1.5, "tensor_bytes": 10, "open_files": 20, "abi_handles": 21, "output_bytes": 30,
               "process_bytes": 300000000, "grace_seconds": 2.5},
    "distributed": {"shard": true, "sync_every": 8, "gradients": "bf16", "timeout_seconds": 5},
    "guest_config": {"round": "3"}, "weights": "/w", "weights_output": "/v",
    "output": "/o.pt", "checkpoint": "/c", "resume": "/r", "engine": "wasmtime",
    "wasmtime_library": "/w.so", "interpret": true, "cache_dir": "/cache", "view": "json"})";
  const auto first = RunConfig::from_json(json);
  REQUIRE_MESSAGE(first, first.error().message);
  const auto second = RunConfig::from_json(first->to_json());
  REQUIRE_MESSAGE(second, second.error().message);
  CHECK(second->args == std::vector<std::string>{"a", "b c"});
  CHECK(second->env == std::vector<std::string>{"K=V", "E="});
  CHECK(second->dirs.at(0).read_only);
  CHECK(second->models.at("m") == "/m.pt");
  CHECK(second->training.optimizer == training::OptimizerKind::kAdamW);
  CHECK(second->training.loss == training::LossKind::kMSE);
  CHECK(second->training.schedule == training::ScheduleKind::kCosine);
  CHECK(second->training.seed == 18446744073709551615ULL);
  CHECK(second->training.shuffle == false);
  CHECK_FALSE(second->training.batch_size);
  CHECK(second->limits.wall_seconds == 1.5);
  CHECK(second->limits.open_files == 20);
  CHECK(second->limits.abi_handles == 21);
  CHECK(second->limits.output_bytes == 30);
  CHECK(second->limits.process_bytes == 300'000'000);
  CHECK(second->limits.grace_seconds == 2.5);
  REQUIRE(second->distributed);
  CHECK(second->distributed->shard);
  CHECK(second->distributed->average_every == 8);
  CHECK(second->distributed->wire == training::Wire::kBF16);
  CHECK(second->distributed->timeout_seconds == 5);
  CHECK(second->engine == sandbox::EngineKind::kWasmtime);
  CHECK(second->wasmtime_library == "/w.so");
  CHECK(second->resume == "/r");
  CHECK(second->weights == "/w");
  CHECK(second->weights_output == "/v");
  CHECK(second->guest_config.at("round") == "3");
  CHECK(second->interpret);
  CHECK(second->view == View::kJson);
  CHECK(second->to_json() == first->to_json());
}

TEST_CASE("null counts as absent") {
  const auto config = RunConfig::from_json(R"({"guest": "g", "output": null, "training": {"epochs": null}})");
  REQUIRE(config);
  CHECK_FALSE(config->output);
  CHECK_FALSE(config->training.epochs);
}

TEST_CASE("a bad configuration is refused with its key and value") {
  struct Case {
    const char* json;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "not JSON"},
           {"[1]", "the configuration is [1]; expected an object"},
           {R"({"guest": 1})", "guest is 1; expected a string"},
           {R"({"guest": ""})", "guest is missing"},
           {R"({"guest": "g", "gast": 1})", "unknown key 'gast'; known are guest, args"},
           {R"({"guest": "g", "args": "x"})", "args is \"x\"; expected an array of strings"},
           {R"({"guest": "g", "args": ["a\u0000b"]})", "without zero bytes"},
           {R"({"guest": "g", "env": ["X"]})", "env is \"X\"; expected KEY=VALUE"},
           {R"({"guest": "g", "dirs": [{"host": "/h"}]})", "expected an object with host and guest"},
           {R"({"guest": "g", "dirs": [{"host": "/h", "guest": ".", "mode": "ro"}]})",
            "unknown key 'dirs.mode'"},
           {R"({"guest": "g", "training": {"epoch": 1}})", "unknown key 'training.epoch'"},
           {R"({"guest": "g", "training": {"epochs": 1.5}})", "training.epochs is 1.5; expected an integer"},
           {R"({"guest": "g", "training": {"seed": -1}})",
            "training.seed is -1; expected an integer in 0..18446744073709551615"},
           {R"({"guest": "g", "training": {"threads": 9223372036854775808}})",
            "training.threads is 9223372036854775808"},
           {R"({"guest": "g", "training": {"optimizer": "newton"}})",
            "training.optimizer: unknown optimizer 'newton'; known are adam"},
           {R"({"guest": "g", "training": {"nesterov": 1}})",
            "training.nesterov is 1; expected true or false"},
           {R"({"guest": "g", "limits": {"memory_pages": 0}})",
            "limits.memory_pages is 0; expected 1 to 65536"},
           {R"({"guest": "g", "limits": {"memory_pages": 65537}})", "limits.memory_pages is 65537"},
           {R"({"guest": "g", "limits": {"wall_seconds": -1}})", "limits.wall_seconds is -1"},
           {R"({"guest": "g", "limits": {"open_files": 1}})", "limits.open_files is 1"},
           {R"({"guest": "g", "limits": {"handles": 1}})", "limits.open_files is 1"},
           {R"({"guest": "g", "limits": {"abi_handles": 0}})", "limits.abi_handles is 0"},
           {R"({"guest": "g", "limits": {"process_bytes": 4096}})", "limits.process_bytes is 4096"},
           {R"({"guest": "g", "limits": {"grace_seconds": -1}})", "limits.grace_seconds is -1"},
           {R"({"guest": "g", "distributed": {"sync_every": 0}})",
            "distributed.sync_every is 0; expected at least 1"},
           {R"({"guest": "g", "distributed": {"gradients": "f16"}})",
            "distributed.gradients is \"f16\"; expected \"f32\" or \"bf16\""},
           {R"({"guest": "g", "distributed": {"timeout_seconds": 0}})", "distributed.timeout_seconds is 0"},
           {R"({"guest": "g", "distributed": {"rank": 1}})", "unknown key 'distributed.rank'"},
           {R"({"guest": "g", "engine": "v8"})", "engine is \"v8\"; expected \"wasmedge\" or \"wasmtime\""},
           {R"({"guest": "g", "view": "loud"})", "view is \"loud\"; expected \"classic\""},
       }) {
    CAPTURE(c.json);
    const Error error = error_of(RunConfig::from_json(c.json));
    CHECK(error.code == Errc::kInvalidArgument);
    CHECK_MESSAGE(error.message.find(c.message) != std::string::npos, error.message);
  }
}
