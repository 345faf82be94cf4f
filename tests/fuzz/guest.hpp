// A guest without an engine for fuzz_abi: its memory, what lies in it, and calls made of an input's bytes.
//
// It must not know what the functions do, only what kind of thing each parameter is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::fuzz {

/// What a parameter is. A pointer and its length are two roles in a row, of which the second takes what goes
/// with the first.
enum class Role : std::uint8_t {
  kModel,
  kDataset,
  kTrainer,
  kGraph,
  kExecution,  // handles
  kInputs,
  kTargets,
  kTensor,
  kBytes,
  kName,
  kOptions,
  kKey,
  kFractions,
  kBuilders,
  kTrainRecords,
  kPath,
  kLength,     // of the pointer before
  kRoom,       // where a result goes
  kNewHandle,  // where a handle goes; the group of functions says of what
  kBuffer,     // where a result of unknown size goes
  kWritten,    // where its size goes
  kSmall,      // an enumerator, an index, a count
  kEpochs,     // kept small whatever the input says, so that no call takes long
  kSeed,
  kNumber,
};
// The first kHandleRoles roles are handles.
inline constexpr std::size_t kHandleRoles = 5;

struct Function {
  const HostFunction* host;
  std::vector<Role> roles;
  Role makes = Role::kSmall;  ///< what kNewHandle receives
  bool traps = false;         ///< an error is a trap rather than an errno
};

/// One call as bytes of an input: how each argument is chosen.
struct Instruction {
  static constexpr std::size_t kArguments = 11;
  std::uint8_t function;
  std::array<std::uint8_t, kArguments> choice;
  std::uint32_t raw;
};
static_assert(sizeof(Instruction) == 16);

/// Something that lies in the memory.
struct Object {
  std::uint32_t address, length;
};

/// Memory and objects that every input starts from.
class Image {
 public:
  static constexpr std::uint32_t kBytes = 1 << 17;

  Image() : bytes_(kBytes) {}

  /// Copies it in; later it may be chosen where `role` is asked for. `length` is what the guest says of it.
  std::uint32_t add(Role role, std::span<const std::byte> bytes, std::uint32_t length);
  std::uint32_t add(Role role, std::span<const std::byte> bytes) {
    return add(role, bytes, static_cast<std::uint32_t>(bytes.size()));
  }
  std::uint32_t add(Role role, std::string_view text) { return add(role, std::as_bytes(std::span(text))); }

  /// Lets what a call left in its buffer be chosen where `role` is asked for, with the size that the call
  /// told.
  void add_result(Role role);

  [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::vector<Object>& objects(Role role) const { return objects_.at(role); }
  /// Where nothing lies yet.
  [[nodiscard]] std::uint32_t free() const noexcept { return next_; }

 private:
  std::vector<std::byte> bytes_;
  std::map<Role, std::vector<Object>> objects_;
  std::uint32_t next_ = 64;
};

/// One run of an input.
class Guest {
 public:
  Guest(const Image& image, std::span<const Function> functions)
      : image_(image), functions_(functions), memory_(image.bytes()) {}

  /// Makes one call, or changes memory, and checks what must hold after it.
  void step(const Instruction& instruction);

 private:
  [[nodiscard]] Value argument(const Instruction& instruction, Role role, ValueType type,
                               std::uint8_t choice);
  [[nodiscard]] std::uint32_t address_or_size(const Instruction& instruction, Role role, std::uint8_t choice);
  void poke(const Instruction& instruction);
  void call(const Function& function, const Instruction& instruction);

  const Image& image_;
  std::span<const Function> functions_;
  std::vector<std::byte> memory_;
  std::map<Role, std::vector<std::uint32_t>> handles_;
  std::uint32_t length_ = 0;        // of the object chosen last
  std::uint32_t result_bytes_ = 0;  // as the last call told
  std::uint32_t written_at_ = 0;    // of the call that is being made
  std::uint32_t new_handle_at_ = 0;
};

}  // namespace wasmgrad::fuzz
