#include "wasmgrad/runner/runner.hpp"

#include <chrono>
#include <utility>

#include "wasmgrad/sandbox/sandbox.hpp"

namespace wasmgrad::runner {

namespace {

constexpr std::uint64_t kMaxGuestBytes = std::uint64_t{256} << 20;

abi::HostConfig host_config(const RunConfig& config, training::Observer* observer, const StopToken* stop) {
  abi::HostConfig host;
  host.grants = Grants(config.dirs);
  host.models = config.models;
  host.default_model = config.default_model;
  host.overrides = config.training;
  host.max_tensor_bytes = config.limits.tensor_bytes;
  host.output = config.output;
  host.checkpoint = config.checkpoint;
  host.resume = config.resume;
  host.observer = observer;
  host.stop = stop;
  return host;
}

}  // namespace

Expected<RunReport> run(const RunConfig& config, training::Observer* observer, const StopToken* stop,
                        Process process) {
  const auto start = std::chrono::steady_clock::now();
  abi::TrainingHost host(host_config(config, observer, stop));

  sandbox::SandboxConfig guest;
  auto module = read_file(config.guest, kMaxGuestBytes);
  if (!module) return module.error().within("guest");
  guest.module = std::move(module).value();
  guest.name = config.guest.filename().string();
  guest.args = config.args;
  guest.env = config.env;
  guest.preopens = config.dirs;
  guest.max_memory_pages = config.limits.memory_pages;
  if (process == Process::kOwn) guest.max_handles = config.limits.handles;
  guest.functions = host.functions();
  guest.interpret = config.interpret;
  guest.aot_cache = config.cache_dir;
  WASMGRAD_ASSIGN(sandbox::Sandbox sandbox, sandbox::Sandbox::create(std::move(guest)));

  RunReport report;
  WASMGRAD_ASSIGN(report.exit_code, sandbox.run());
  report.outcome = host.outcome();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace wasmgrad::runner
