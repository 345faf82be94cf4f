// Where the processes of one training meet: what torchrun, or whoever plays its part, sets in the
// environment.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

struct Rendezvous {
  int rank = 0;
  int size = 1;
  std::string address;  ///< of the store through which they find each other
  std::uint16_t port = 0;
  bool is_server = false;    ///< this process is that store
  std::int64_t attempt = 0;  ///< how often the processes were started anew
  std::string interface;  ///< the network interface they talk through; empty: the one that reaches `address`
  std::chrono::milliseconds timeout{60'000};  ///< of every exchange

  /// From RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, and where they are set TORCHELASTIC_USE_AGENT_STORE,
  /// TORCHELASTIC_RESTART_COUNT and GLOO_SOCKET_IFNAME. `variable` returns null for one that is not set.
  /// Errors: kInvalidArgument, naming the variable that is missing or no such value.
  static Expected<Rendezvous> from_environment(const std::function<const char*(const char*)>& variable);
  /// From this process's environment.
  static Expected<Rendezvous> from_environment();
};

}  // namespace wasmgrad::training
