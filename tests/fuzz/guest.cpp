#include "guest.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fuzz.hpp"

namespace wasmgrad::fuzz {

namespace {

// Choices from here on are hostile.
constexpr std::uint8_t kFirstHostile = 208;
constexpr std::uint32_t kMostEpochs = 3;
// Results go to the second half of the memory, a few places apart, so that they overlap now and then.
constexpr std::uint32_t kResults = Image::kBytes / 2;
constexpr std::uint32_t kBuffers = kResults + 1024;
// Stands for the size that the last call told of its result.
constexpr std::uint32_t kLengthOfResult = 0xffffffff;

std::uint32_t hostile_number(const Instruction& instruction, std::uint8_t choice) {
  const std::uint32_t table[] = {0,
                                 1,
                                 0xffffffff,
                                 0x80000000,
                                 0x7fffffff,
                                 Image::kBytes,
                                 Image::kBytes - 1,
                                 Image::kBytes - instruction.raw % 64,
                                 instruction.raw,
                                 instruction.raw % Image::kBytes,
                                 instruction.raw % 256};
  return table[choice % std::size(table)];
}

double any_double(const Instruction& instruction, std::uint8_t choice) {
  constexpr double kTable[] = {0.05,
                               0,
                               1,
                               1e-3,
                               -1,
                               1e300,
                               -0.0,
                               std::numeric_limits<double>::quiet_NaN(),
                               std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::denorm_min()};
  if (choice >= kFirstHostile) return std::bit_cast<double>(std::uint64_t{instruction.raw} << 32);
  return kTable[choice % std::size(kTable)];
}

bool is_handle(Role role) { return static_cast<std::size_t>(role) < kHandleRoles; }

}  // namespace

std::uint32_t Image::add(Role role, std::span<const std::byte> bytes, std::uint32_t length) {
  const std::uint32_t address = next_;
  require(address + bytes.size() <= kResults, "everything fits into the first half of the memory");
  if (!bytes.empty()) std::memcpy(bytes_.data() + address, bytes.data(), bytes.size());
  next_ += static_cast<std::uint32_t>((bytes.size() + 7) / 8 * 8);
  objects_[role].push_back({address, length});
  return address;
}

void Image::add_result(Role role) { objects_[role].push_back({kBuffers, kLengthOfResult}); }

void Guest::step(const Instruction& instruction) {
  // One number more than functions: change memory instead.
  const std::size_t chosen = instruction.function % (functions_.size() + 1);
  if (chosen == functions_.size()) {
    poke(instruction);
  } else {
    call(functions_[chosen], instruction);
  }
}

// Overwrites four bytes, most often of something that a call will read.
void Guest::poke(const Instruction& instruction) {
  const std::uint32_t room = instruction.choice[1] >= kFirstHostile ? Image::kBytes - 4 : image_.free();
  const std::uint32_t place =
      (instruction.choice[2] | instruction.choice[3] << 8 | instruction.choice[4] << 16);
  std::memcpy(memory_.data() + place % room, &instruction.raw, 1 + instruction.choice[5] % 4);
}

std::uint32_t Guest::address_or_size(const Instruction& instruction, Role role, std::uint8_t choice) {
  if (is_handle(role)) {
    const auto& known = handles_[role];
    return known.empty() ? 1 : known[known.size() - 1 - choice % known.size()];
  }
  switch (role) {
    case Role::kLength:
      return length_;
    case Role::kRoom:
    case Role::kNewHandle:
    case Role::kWritten:
      return kResults + choice % 16 * 8;
    case Role::kBuffer:
      length_ = choice % 3 == 0 ? 0 : (choice % 3 == 1 ? Image::kBytes / 4 : instruction.raw % 1024);
      return kBuffers + (choice < kFirstHostile / 2 ? 0 : choice % 16);
    case Role::kSmall:
    case Role::kSeed:
      return choice % 4;
    default: {
      const auto& objects = image_.objects(role);
      const Object& object = objects[choice % objects.size()];
      length_ = object.length == kLengthOfResult ? result_bytes_ : object.length;
      return object.address;
    }
  }
}

Value Guest::argument(const Instruction& instruction, Role role, ValueType type, std::uint8_t choice) {
  Value value{};
  if (role == Role::kEpochs) {
    value.i64 = hostile_number(instruction, choice) % (kMostEpochs + 1);
  } else if (type == ValueType::kF64) {
    value.f64 = any_double(instruction, choice);
  } else if (type == ValueType::kI64) {
    value.i64 = choice < kFirstHostile
                    ? choice % 4 + 1
                    : static_cast<std::uint64_t>(static_cast<std::int32_t>(instruction.raw));
  } else if (choice < kFirstHostile) {
    value.i32 = address_or_size(instruction, role, choice);
  } else {
    value.i32 = hostile_number(instruction, choice);
  }
  if (role == Role::kWritten) written_at_ = value.i32;
  if (role == Role::kNewHandle) new_handle_at_ = value.i32;
  return value;
}

void Guest::call(const Function& function, const Instruction& instruction) {
  std::vector<Value> arguments;
  written_at_ = Image::kBytes;
  new_handle_at_ = Image::kBytes;
  for (std::size_t i = 0; i < function.roles.size(); ++i) {
    arguments.push_back(
        argument(instruction, function.roles[i], function.host->parameters[i], instruction.choice[i]));
  }
  const std::vector<std::byte> before = memory_;
  Value result{};
  const std::span<Value> results(&result, function.host->results.size());
  const Status status = function.host->call(GuestMemory(memory_), arguments, results);
  if (function.traps) {
    if (!status) require_sentence(status.error().message);
    require(before == memory_, "a call without results changes no memory");
    return;
  }
  require(status.ok(), "nothing traps");
  constexpr std::uint32_t kLargestErrno = 10;
  require(result.i32 <= kLargestErrno, "the result is an errno");
  if (result.i32 != 0) {
    // What is written then is the size that a buffer needs, at most.
    std::vector<std::byte> expected = before;
    if (written_at_ <= Image::kBytes - 4) {
      std::memcpy(expected.data() + written_at_, memory_.data() + written_at_, 4);
    }
    require(expected == memory_, "a call that failed changes no memory");
    return;
  }
  if (written_at_ <= Image::kBytes - 4) std::memcpy(&result_bytes_, memory_.data() + written_at_, 4);
  if (function.makes == Role::kSmall) return;
  std::uint32_t handle = 0;
  require(new_handle_at_ <= Image::kBytes - 4, "a handle was written inside the memory");
  std::memcpy(&handle, memory_.data() + new_handle_at_, sizeof handle);
  auto& known = handles_[function.makes];
  require(handle != 0 && std::ranges::find(known, handle) == known.end(), "a handle is new");
  known.push_back(handle);
}

}  // namespace wasmgrad::fuzz
