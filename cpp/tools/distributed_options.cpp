#include "wasmgrad/tools/distributed_options.hpp"

#include <map>
#include <string>

namespace wasmgrad::tools {

void add_distributed_options(CLI::App& app, bool& wanted, runner::Distributed& how) {
  auto* flag =
      app.add_flag("--distributed", wanted, "Train together with the other processes that torchrun started");
  const auto place = [flag](CLI::Option* option) { option->group("Several processes")->needs(flag); };
  flag->group("Several processes");
  place(
      app.add_flag("--shard", how.shard, "The data of each process is its own, not a part of what all have"));
  place(app.add_option(
               "--sync-every", how.average_every,
               "Steps of each process's own between two averages of the parameters; 1: the gradients are "
               "averaged at each step")
            ->capture_default_str());
  place(app.add_option("--peer-timeout", how.timeout_seconds,
                       "Seconds after which a process that does not answer is lost")
            ->capture_default_str());
  const std::map<std::string, training::Wire> wires{{"f32", training::Wire::kF32},
                                                    {"bf16", training::Wire::kBF16}};
  place(app.add_option("--gradients", how.wire, "How gradients travel: f32, or bf16 in half the bytes")
            ->transform(CLI::Transformer(wires)));
}

}  // namespace wasmgrad::tools
