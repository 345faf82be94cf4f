// The command line of wasmgrad-train: what becomes of each option, and how mistakes are told.
#include <doctest/doctest.h>

#include "../support.hpp"
#include "wasmgrad/tools/command_line.hpp"
#include "wasmgrad/tools/exit_code.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;
using namespace wasmgrad::tools;

namespace {

CommandLine parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "wasmgrad-train");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

runner::RunConfig config_of(std::vector<const char*> arguments) {
  const CommandLine command = parse(std::move(arguments));
  REQUIRE(command.config);
  return *command.config;
}

}  // namespace

TEST_CASE("what follows the guest is the guest's, options too") {
  const auto config = config_of({"--epochs", "3", "g.wasm", "model.pt", "--epochs", "5", "--", "-x"});
  CHECK(config.guest == "g.wasm");
  CHECK(config.args == std::vector<std::string>{"model.pt", "--epochs", "5", "--", "-x"});
  CHECK(config.training.epochs == 3);
}

TEST_CASE("grants, models and environment may be given more than once") {
  const auto config = config_of({"--dir", "/a:.", "--dir=/b:/data:ro", "--model", "m=/m.pt", "--model",
                                 "n=/n.pt", "--env", "A=1", "--env", "B=", "g.wasm", "x"});
  REQUIRE(config.dirs.size() == 2);
  CHECK(config.dirs[1].host_path == "/b");
  CHECK(config.dirs[1].guest_path == "/data");
  CHECK(config.dirs[1].read_only);
  CHECK(config.models.at("n") == "/n.pt");
  CHECK(config.env == std::vector<std::string>{"A=1", "B="});
  CHECK(config.args == std::vector<std::string>{"x"});
}

TEST_CASE("training options replace the guest's choices, and only those that are given") {
  bool old = false;
  SUBCASE("as --set") {}
  SUBCASE("as version 0.1 spelled them") { old = true; }
  const auto config =
      old ? config_of({"--optimizer", "sgd", "--loss", "mse", "--schedule", "cosine", "--lr", "0.5",
                       "--nesterov", "--no-shuffle", "--seed", "7", "--batches-per-epoch", "50",
                       "--early-stopping", "2", "g.wasm"})
          : config_of({"--set", "optimizer=sgd", "--set", "loss=mse", "--set", "schedule=cosine", "--set",
                       "learning_rate=0.5", "--set", "nesterov=true", "--set", "shuffle=false", "--set",
                       "seed=7", "--set=batches_per_epoch=50", "--set", "early_stopping_patience=2",
                       "g.wasm"});
  CHECK(config.training.optimizer == training::OptimizerKind::kSGD);
  CHECK(config.training.loss == training::LossKind::kMSE);
  CHECK(config.training.schedule == training::ScheduleKind::kCosine);
  CHECK(config.training.learning_rate == 0.5);
  CHECK(config.training.nesterov == true);
  CHECK(config.training.shuffle == false);
  CHECK(config.training.seed == 7);
  CHECK(config.training.batches_per_epoch == 50);
  CHECK(config.training.early_stopping_patience == 2);
  CHECK_FALSE(config.training.epochs);
  CHECK_FALSE(config.training.momentum);
}

TEST_CASE("limits, files and views are set") {
  const auto config = config_of({"--memory",
                                 "100MiB",
                                 "--time-limit",
                                 "2.5",
                                 "--tensor-bytes",
                                 "10",
                                 "--open-files",
                                 "16",
                                 "--abi-handles",
                                 "17",
                                 "--output-bytes",
                                 "99KiB",
                                 "--process-bytes",
                                 "300000000",
                                 "--output",
                                 "o",
                                 "--checkpoint",
                                 "c",
                                 "--resume",
                                 "r",
                                 "--interpret",
                                 "--cache-dir",
                                 "",
                                 "--json",
                                 "g.wasm"});
  CHECK(config.limits.memory_pages == 1600);
  CHECK(config.limits.wall_seconds == 2.5);
  CHECK(config.limits.tensor_bytes == 10);
  CHECK(config.limits.open_files == 16);
  CHECK(config.limits.abi_handles == 17);
  CHECK(config.limits.output_bytes == 99 * 1024);
  CHECK(config.limits.process_bytes == 300'000'000);
  CHECK(config.output == "o");
  CHECK(config.checkpoint == "c");
  CHECK(config.resume == "r");
  CHECK(config.interpret);
  CHECK(config.cache_dir.empty());
  CHECK(config.view == runner::View::kJson);
}

TEST_CASE("a run is alone unless it is said to be one of several") {
  CHECK_FALSE(config_of({"g.wasm"}).distributed);
  CHECK(config_of({"--distributed", "g.wasm"}).distributed->timeout_seconds == 60);
  const auto several = config_of({"--distributed", "--shard", "--sync-every", "4", "--peer-timeout", "2.5",
                                  "--gradients", "bf16", "g.wasm"})
                           .distributed;
  REQUIRE(several);
  CHECK(several->shard);
  CHECK(several->average_every == 4);
  CHECK(several->timeout_seconds == 2.5);
  CHECK(several->wire == training::Wire::kBF16);
}

TEST_CASE("limits have the names of version 0.1, too") {
  const auto limits = config_of({"--max-memory-pages", "100", "--wall-time", "2.5", "--max-tensor-bytes",
                                 "10", "--max-handles", "16", "--max-output-bytes", "99",
                                 "--max-process-bytes", "300000000", "g.wasm"})
                          .limits;
  CHECK(limits.memory_pages == 100);
  CHECK(limits.wall_seconds == 2.5);
  CHECK(limits.tensor_bytes == 10);
  CHECK(limits.open_files == 16);
  CHECK(limits.output_bytes == 99);
  CHECK(limits.process_bytes == 300'000'000);
}

TEST_CASE("a configuration file stands for all options") {
  const TemporaryDirectory dir;
  dir.write("run.json", R"({"guest": "g.wasm", "view": "quiet"})");
  const std::string file = (dir / "run.json").string();
  CHECK(config_of({"--config", file.c_str()}).view == runner::View::kQuiet);
  CHECK(config_of({"--config", file.c_str(), "--set", "epochs=4"}).training.epochs == 4);
  CHECK(parse({"--config", file.c_str(), "--epochs", "1"}).exit_code == kExitUsage);
  CHECK(parse({"--config", "/no/such/file"}).exit_code == kExitUsage);
}

TEST_CASE("an engine is chosen, and its library") {
  CHECK(config_of({"g.wasm"}).engine == sandbox::EngineKind::kWasmEdge);
  const auto config = config_of({"--engine", "wasmtime", "--wasmtime", "/lib/w.so", "g.wasm"});
  CHECK(config.engine == sandbox::EngineKind::kWasmtime);
  CHECK(config.wasmtime_library == "/lib/w.so");
  CHECK(parse({"--engine", "v8", "g.wasm"}).exit_code == kExitUsage);
  CHECK(parse({"--parent", "7", "g.wasm"}).parent == 7);
}

TEST_CASE("a text that is not UTF-8 is a usage error, and not changed") {
  CHECK(parse({"g.wasm", "a\xff"}).exit_code == kExitUsage);
  CHECK(parse({"--env", "A=\xff", "g.wasm"}).exit_code == kExitUsage);
}

TEST_CASE("mistakes are usage errors") {
  for (const std::vector<const char*>& arguments : std::vector<std::vector<const char*>>{
           {},
           {"--epochs", "3"},
           {"--epochs", "three", "g.wasm"},
           {"--no-such-option", "g.wasm"},
           {"--optimizer", "newton", "g.wasm"},
           {"--set", "epochs", "g.wasm"},
           {"--set", "epochs=three", "g.wasm"},
           {"--set", "epochs=-1e400", "g.wasm"},
           {"--set", "optimizer=newton", "g.wasm"},
           {"--set", "optimiser=adam", "g.wasm"},
           {"--set", "shuffle=1", "g.wasm"},
           {"--dir", "/a:.:rw", "g.wasm"},
           {"--model", "m", "g.wasm"},
           {"--env", "m", "g.wasm"},
           {"--json", "--quiet", "g.wasm"},
           {"--shard", "g.wasm"},
           {"--distributed", "--sync-every", "0", "g.wasm"},
           {"--distributed", "--gradients", "f16", "g.wasm"},
           {"--memory", "0", "g.wasm"},
           {"--memory", "100", "g.wasm"},
           {"--memory", "1GB", "g.wasm"},
           {"--tensor-bytes", "much", "g.wasm"},
           {"--time-limit", "-1", "g.wasm"},
           {"--max-memory-pages", "0", "g.wasm"},
       }) {
    const CommandLine command = parse(arguments);
    CHECK_FALSE(command.config);
    CHECK(command.exit_code == kExitUsage);
  }
}

TEST_CASE("help and the version are no errors") {
  CHECK(parse({"--help"}).exit_code == kExitOk);
  CHECK(parse({"--version"}).exit_code == kExitOk);
  CHECK_FALSE(parse({"--version"}).config);
}
