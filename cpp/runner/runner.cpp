#include "wasmgrad/runner/runner.hpp"

#include <chrono>
#include <utility>

#include "wasmgrad/abi/component/training_imports.hpp"
#include "wasmgrad/runner/guest_host.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"

namespace wasmgrad::runner {

namespace {

constexpr std::uint64_t kMaxGuestBytes = std::uint64_t{256} << 20;

// How a guest ends that was told to and does nothing else about it: guests/sdk.
constexpr std::uint32_t kGuestInterrupted = 130;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Waits for the guests of the other processes.
Status end_together(training::Collective& group) {
  const auto agreed = group.meet({training::Operation::kEnd}, {});
  return agreed ? Status() : Status(agreed.error());
}

}  // namespace

Expected<RunReport> run(const RunConfig& config, training::Observer* observer, const StopToken* stop,
                        Process process, training::Collective* group) {
  const auto start = Clock::now();
  GuestHost host(config, observer, stop, group);

  sandbox::SandboxConfig guest;
  auto module = read_file(config.guest, kMaxGuestBytes);
  if (!module) return module.error().within("guest");
  guest.module = std::move(module).value();
  guest.name = config.guest.filename().string();
  guest.args = config.args;
  guest.env = config.env;
  guest.preopens = config.dirs;
  guest.max_memory_pages = config.limits.memory_pages;
  if (process == Process::kOwn) guest.max_handles = config.limits.open_files;
  guest.functions = host.functions();
  guest.component_imports = abi::component::training_imports(guest.functions);
  guest.engine = config.engine;
  guest.wasmtime_library = config.wasmtime_library;
  guest.interpret = config.interpret;
  guest.aot_cache = config.cache_dir;
  WASMGRAD_ASSIGN(sandbox::Sandbox sandbox, sandbox::Sandbox::create(std::move(guest)));

  RunReport report;
  const auto guest_start = Clock::now();
  const auto exit_code = sandbox.run();
  training::Usage usage = host.training().usage();
  usage.guest_seconds = seconds_since(guest_start) - usage.host_seconds;
  usage.guest_memory_bytes = sandbox.memory().size();
  // A result is one of all processes: nothing is written before each guest has ended well.
  Status together;
  if (group != nullptr && exit_code && *exit_code == 0) together = end_together(*group);
  if (!together && !group->failure()) return together.error();
  const Status finished = host.training().finish();
  if (observer != nullptr) observer->on_usage(usage);
  if (group != nullptr && group->failure()) return Error{Errc::kPeerLost, *group->failure()};
  const auto interrupted = host.training().interrupted();
  if (interrupted && !finished) return finished.error();
  if (interrupted) return Error{Errc::kInterrupted, *interrupted};
  WASMGRAD_ASSIGN(report.exit_code, exit_code);
  if (!finished) return finished.error();
  if (host.training().epochs_used_up() && report.exit_code == kGuestInterrupted) report.exit_code = 0;
  report.outcome = host.training().outcome();
  report.seconds = seconds_since(start);
  return report;
}

}  // namespace wasmgrad::runner
