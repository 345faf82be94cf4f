// wasmgrad-train: runs a guest that trains, in a worker process. See --help.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <system_error>

#include "wasmgrad/tools/command_line.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/tools/resume_hint.hpp"
#include "wasmgrad/tools/supervisor.hpp"

namespace {

// This process, and its worker with it, is killed when its parent ends. False when that has happened already.
bool end_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return ::getppid() == parent;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace wasmgrad::tools;
  try {
    const CommandLine command = parse_command_line(argc, argv);
    if (!command.config) return command.exit_code;
    if (command.parent && !end_with(*command.parent)) return kExitInterrupted;
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    const ResumeHint hint(*command.config, std::span(argv, static_cast<std::size_t>(argc)));
    const int code = supervise(*command.config, self.parent_path() / "wasmgrad-worker", Console{});
    // Who gives a configuration says himself how to go on.
    if (code == kExitInterrupted && !command.from_file)
      std::fprintf(stderr, "wasmgrad-train: %s\n", hint.line().c_str());
    return code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "wasmgrad-train: %s\n", error.what());
    return kExitError;
  }
}
