// Runs one graph module on WasmEdge: bytes in, bytes out, one copy each. It must not know what the graph
// computes.
//
// A trap is an error, but nothing interrupts a running module, and one that overflows its stack ends the
// process: whoever does not trust a module runs it in a process of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/byte_source.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/graph/metadata.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"

namespace wasmgrad::graph {

struct ExecutorConfig {
  ByteSource module;                       ///< wasm bytes; needed by create() only
  std::optional<ByteSource> weights;       ///< of the file beside the module, if it has one; likewise
  std::uint32_t max_memory_pages = 65536;  ///< of 64 KiB
  /// Where compiled modules are kept, by content hash and engine version. Empty: nowhere.
  std::filesystem::path aot_cache;
};

/// A module ready to run. It is used by one thread at a time.
class Executor {
 public:
  /// Loads, checks and compiles the module, and puts the weights into its memory, the only place in this
  /// process where they are when they come from files. Errors: as read_graph_file(); kUnsupportedOperation
  /// for a module for several threads; kInvalidEncoding (code or functions that are wrong, addresses outside
  /// the memory, weights of another model), kTooLarge (needs more memory than allowed), kInvalidArgument
  /// (weights missing or of another length), kRuntimeError (a file that cannot be read).
  static Expected<Executor> create(const ExecutorConfig& config);

  [[nodiscard]] const Metadata& metadata() const noexcept { return metadata_; }

  /// The plan that was chosen last, at first the first one, with the shapes that its tensors have now.
  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }

  /// Chooses a plan by number, for so many samples (0: as many as it can), if it is not chosen already: all
  /// that follows speaks of it. Its inputs and outputs hold nothing that is known. Errors: kInvalidArgument
  /// when there is no such plan; kInvalidEncoding for addresses outside the memory.
  [[nodiscard]] Status select(std::size_t number, std::uint64_t batch);

  /// As select(), of the first plan of an entry that takes inputs of these shapes, in order. Errors: also
  /// kInvalidArgument when there is none.
  [[nodiscard]] Status select_for(std::string_view entry, std::span<const std::vector<std::uint64_t>> shapes);

  /// Of the module's memory as it is now.
  [[nodiscard]] std::uint64_t memory_bytes() const { return sandbox_.memory().size(); }

  /// Replaces input `index`, which keeps its contents until the next call. Errors: kInvalidArgument for an
  /// index out of range or another length than the tensor's.
  [[nodiscard]] Status write_input(std::size_t index, std::span<const std::byte> data);

  /// Computes the outputs and the next states. Errors: kRuntimeError when the module traps or fails; what its
  /// states hold then is not known.
  [[nodiscard]] Status run();

  /// Only call `index` of the plan, for measuring. Errors: kInvalidArgument, kRuntimeError.
  [[nodiscard]] Status call(std::size_t index);

  /// Copies output `index`. Errors: as write_input().
  [[nodiscard]] Status read_output(std::size_t index, std::span<std::byte> data) const;

  /// Copies state `index`, which is zero before the first run. Errors: as write_input().
  [[nodiscard]] Status read_state(std::size_t index, std::span<std::byte> data) const;

  /// Replaces state `index`. Errors: as write_input().
  [[nodiscard]] Status write_state(std::size_t index, std::span<const std::byte> data);

  /// Makes all states zero again.
  [[nodiscard]] Status reset();

 private:
  Executor(sandbox::Sandbox sandbox, Metadata metadata)
      : sandbox_(std::move(sandbox)), metadata_(std::move(metadata)), plan_(metadata_.plans.front()) {}

  [[nodiscard]] Status check_functions() const;
  [[nodiscard]] Status locate_tensors();
  [[nodiscard]] Status locate_ends();
  [[nodiscard]] Status read(std::uint32_t address, std::span<std::byte> data, const char* what) const;
  [[nodiscard]] Status write(std::uint32_t address, std::span<const std::byte> data, const char* what);
  [[nodiscard]] Expected<std::span<std::byte>> place(std::uint32_t address, std::uint64_t size,
                                                     std::string_view what);
  [[nodiscard]] Status fill_weights(const ByteSource& weights);

  sandbox::Sandbox sandbox_;
  Metadata metadata_;
  Plan plan_;  // the chosen one, as it is with batch_ samples
  std::size_t number_ = 0;
  std::uint64_t batch_ = 0;
  std::vector<std::uint32_t> inputs_, outputs_, states_;  // addresses
};

}  // namespace wasmgrad::graph
