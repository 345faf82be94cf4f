#include "wasmgrad/training/torch/collective/gloo_collective.hpp"

#include <ATen/Version.h>
#include <ATen/ops/from_blob.h>
#include <netdb.h>
#include <sys/socket.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <string>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "wasmgrad/base/open_beneath.hpp"

namespace wasmgrad::training {

namespace {

/// The first sentence of what c10d or Gloo says, without its place in their sources.
std::string reason_of(const std::exception& error) {
  std::string text = error.what();
  if (text.starts_with('[')) text.erase(0, text.find(']') + 2);
  return text.substr(0, std::min(text.find('\n'), text.find(". ")));
}

Error failed(const std::exception& error) { return {Errc::kRuntimeError, reason_of(error)}; }

/// The address under which this host reaches `address`, and others reach it.
Expected<std::string> local_address(const std::string& address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;  // connecting one sends nothing
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
      error != 0)
    return Error{Errc::kRuntimeError, "the address '" + address + "': " + ::gai_strerror(error)};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, ::freeaddrinfo);
  for (const addrinfo* each = all.get(); each != nullptr; each = each->ai_next) {
    const UniqueFd probe(::socket(each->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage local{};
    socklen_t bytes = sizeof local;
    auto* name = reinterpret_cast<sockaddr*>(&local);
    if (!probe || ::connect(probe.get(), each->ai_addr, each->ai_addrlen) != 0 ||
        ::getsockname(probe.get(), name, &bytes) != 0) {
      continue;
    }
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(name, bytes, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
      return std::string(text.data());
  }
  return Error{Errc::kRuntimeError, "no network interface leads to '" + address + "'"};
}

/// Gloo is reached through headers that torch does not publish: what was not tested is not used.
Status check_torch_version() {
  const std::string built = "TORCH_VERSION=" TORCH_VERSION;
  const std::string loaded = at::show_config();
  const std::size_t found = loaded.find(built);
  if (found != std::string::npos && loaded.find_first_of(",+ \n", found) == found + built.size()) return {};
  return Error{Errc::kUnsupportedOperation, "distributed training works with torch " TORCH_VERSION
                                            " only, with which this was built and tested; install that one"};
}

class GlooCollective final : public Collective {
 public:
  GlooCollective(c10::intrusive_ptr<c10d::ProcessGroupGloo> group) : group_(std::move(group)) {}

  [[nodiscard]] int rank() const noexcept override { return group_->getRank(); }
  [[nodiscard]] int size() const noexcept override { return group_->getSize(); }

 protected:
  Status gather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    return waited([&] {
      std::vector<at::Tensor> input{over({const_cast<std::byte*>(mine.data()), mine.size()})};  // only read
      std::vector<std::vector<at::Tensor>> outputs(1);
      for (std::size_t begin = 0; begin < all.size(); begin += mine.size())
        outputs[0].push_back(over(all.subspan(begin, mine.size())));
      return group_->allgather(outputs, input);
    });
  }

  Status add_up(std::span<float> values, Wire wire) override {
    const at::Tensor whole =
        at::from_blob(values.data(), static_cast<std::int64_t>(values.size()), at::kFloat);
    std::vector<at::Tensor> sent{wire == Wire::kF32 ? whole : whole.to(at::kBFloat16)};
    WASMGRAD_CHECK(waited([&] { return group_->allreduce(sent); }));
    if (wire != Wire::kF32) whole.copy_(sent[0]);
    return {};
  }

  Status copy_first(std::span<std::byte> bytes) override {
    std::vector<at::Tensor> tensors{over(bytes)};
    return waited([&] { return group_->broadcast(tensors); });
  }

 private:
  static at::Tensor over(std::span<std::byte> bytes) {
    return at::from_blob(bytes.data(), static_cast<std::int64_t>(bytes.size()), at::kByte);
  }

  template <class Begin>
  Status waited(Begin begin) {
    try {
      begin()->wait();
      return {};
    } catch (const std::exception& error) {
      return failed(error);
    }
  }

  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

Expected<std::unique_ptr<Collective>> connect(const Rendezvous& where) {
  static std::atomic<int> made = 0;
  WASMGRAD_CHECK(check_torch_version());
  const std::string what = "process " + std::to_string(where.rank) + " of " + std::to_string(where.size) +
                           " did not find the others through " + where.address + ":" +
                           std::to_string(where.port);
  try {
    auto options = c10d::ProcessGroupGloo::Options::create(where.timeout);
    if (where.interface.empty()) {
      auto address = local_address(where.address, where.port);
      if (!address) return address.error().within(what);
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(*address));
    } else {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(where.interface));
    }
    c10d::TCPStoreOptions server;
    server.port = where.port;
    server.isServer = where.is_server;
    server.multiTenant = where.is_server;
    server.timeout = where.timeout;
    // Processes that were started anew, and later groups of a process, have keys of their own.
    const std::string prefix = "wasmgrad/" + std::to_string(where.attempt) + "/" + std::to_string(made++);
    auto store = c10::make_intrusive<c10d::PrefixStore>(
        prefix, c10::make_intrusive<c10d::TCPStore>(where.address, server));
    auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(store, where.rank, where.size, options);
    return std::unique_ptr<Collective>(std::make_unique<GlooCollective>(std::move(group)));
  } catch (const std::exception& error) {
    return failed(error).within(what);
  }
}

}  // namespace wasmgrad::training
