#include "wasmgrad/abi/component/training_imports.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/abi/component/training_table.hpp"
#include "wasmgrad/abi/v1/layout.hpp"

namespace wasmgrad::abi::component {

namespace {

namespace layout = v1::layout;

constexpr const char* kInterface = "wasmgrad:training/training";
constexpr std::uint64_t kErrorBytes = 12;  // a code, and a message's address and length

// T of a result<T, error>, by TrainingResult: where it stands behind the case, and its size.
struct Payload {
  std::uint32_t offset;
  std::uint32_t bytes;
};
Payload payload_of(TrainingResult result) {
  switch (result) {
    case TrainingResult::kNone:
      return {4, 0};
    case TrainingResult::kNumber:
      return {4, 4};
    case TrainingResult::kWideNumber:
      return {8, 8};
    case TrainingResult::kMetrics:
      return {8, sizeof(layout::Metrics)};
    case TrainingResult::kFitReport:
      return {8, sizeof(layout::FitReport)};
    case TrainingResult::kProgress:
      return {8, 48};
    case TrainingResult::kTensor:
      return {4, 20};
    case TrainingResult::kPair:
    case TrainingResult::kBytes:
    case TrainingResult::kFloats:
    case TrainingResult::kHandles:
      break;
  }
  return {4, 8};
}

using Arguments = std::vector<Value>;

void push(Arguments& arguments, std::uint64_t number) {
  arguments.push_back({.i32 = static_cast<std::uint32_t>(number)});
}

// Calls a core function on a memory; its errno. Errors: what it would trap with.
Expected<std::uint32_t> call_core(const HostFunction& core, GuestMemory memory, const Arguments& arguments) {
  Value result{};
  WASMGRAD_CHECK(core.call(memory, arguments, std::span(&result, 1)));
  return result.i32;
}

// Room of the host's own for results whose size is asked for, or that are stored in another form.
using Scratch = std::array<std::byte, 128>;
constexpr std::uint32_t kScratchSize = 0, kScratchRecord = 8;

class Call {
 public:
  Call(const TrainingRow& row, const HostFunction& core, const HostFunction& last_error,
       ComponentCaller& guest, std::span<const Value> flat)
      : row_(row),
        core_(core),
        last_error_(last_error),
        guest_(guest),
        flat_(flat),
        payload_(payload_of(row.result)) {}

  Status run() {
    const std::uint64_t bytes = payload_.offset + std::max<std::uint64_t>(payload_.bytes, kErrorBytes);
    WASMGRAD_CHECK(guest_.memory().writable_bytes(area(), bytes, std::string(row_.name) + ": result"));
    WASMGRAD_ASSIGN(const Arguments arguments, core_arguments());
    WASMGRAD_ASSIGN(const std::uint32_t errno_, call(arguments));
    return errno_ == 0 ? guest_.store(area(), std::uint8_t{0}) : store_error(errno_);
  }

 private:
  [[nodiscard]] std::uint32_t area() const { return flat_.back().i32; }
  [[nodiscard]] std::uint32_t at() const { return area() + payload_.offset; }

  [[nodiscard]] Expected<Arguments> core_arguments() const {
    Arguments arguments;
    std::size_t next = 0;
    for (const char letter : std::string_view(row_.parameters)) {
      const Value first = flat_[next++];
      if (letter == 'i' || letter == 'I' || letter == 'd') arguments.push_back(first);
      if (letter == 'o') {
        if (first.i32 > 1)
          return invalid(std::string(row_.name) + ": an option has case " + std::to_string(first.i32));
        push(arguments, first.i32 == 1 ? flat_[next].i32 : 0);
        ++next;
      }
      if (letter == 'F') {
        const std::uint64_t size = std::uint64_t{flat_[next++].i32} * sizeof(float);
        WASMGRAD_CHECK(guest_.memory().bytes(first.i32, size, std::string(row_.name) + ": values"));
        arguments.push_back(first);
        push(arguments, size);
      }
    }
    return arguments;
  }

  // The errno, once the result is stored.
  Expected<std::uint32_t> call(Arguments arguments) {
    switch (row_.result) {
      case TrainingResult::kNone:
        break;
      case TrainingResult::kPair:
        push(arguments, at());
        push(arguments, at() + 4);
        break;
      case TrainingResult::kProgress:
        return call_progress(std::move(arguments));
      case TrainingResult::kBytes:
      case TrainingResult::kFloats:
        return call_list(std::move(arguments));
      case TrainingResult::kHandles:
        return call_handles(std::move(arguments));
      case TrainingResult::kTensor:
        return call_tensor(std::move(arguments));
      default:
        push(arguments, at());  // stored as the core function does it
    }
    return call_core(core_, guest_.memory(), arguments);
  }

  Expected<std::uint32_t> call_progress(Arguments arguments) {
    Scratch scratch{};
    push(arguments, kScratchRecord);
    WASMGRAD_ASSIGN(const std::uint32_t errno_, call_core(core_, GuestMemory(scratch), arguments));
    if (errno_ != 0) return errno_;
    layout::Progress progress{};
    std::memcpy(&progress, scratch.data() + kScratchRecord, sizeof progress);
    const std::uint64_t numbers[] = {progress.epoch, progress.step, progress.batch, progress.best_epoch};
    for (std::uint32_t i = 0; i < 4; ++i) WASMGRAD_CHECK(guest_.store(at() + 8 * i, numbers[i]));
    WASMGRAD_CHECK(guest_.store(at() + 32, progress.best_loss));
    const std::uint32_t flags[] = {progress.resumed, progress.shows_best, progress.stop_requested};
    for (std::uint32_t i = 0; i < 3; ++i)
      WASMGRAD_CHECK(guest_.store(at() + 40 + i, static_cast<std::uint8_t>(flags[i])));
    WASMGRAD_CHECK(guest_.store(at() + 44, progress.owner_epochs));
    return 0U;
  }

  Expected<std::uint32_t> call_list(Arguments arguments) {
    Scratch scratch{};
    Arguments query = arguments;
    for (const std::uint32_t argument : {0U, 0U, kScratchSize}) push(query, argument);
    WASMGRAD_ASSIGN(std::uint32_t errno_, call_core(core_, GuestMemory(scratch), query));
    if (errno_ != 0) return errno_;
    std::uint32_t size = 0;
    std::memcpy(&size, scratch.data() + kScratchSize, sizeof size);
    const bool floats = row_.result == TrainingResult::kFloats;
    WASMGRAD_ASSIGN(const std::uint32_t buffer, guest_.allocate(size, floats ? alignof(float) : 1));
    push(arguments, buffer);
    push(arguments, size);
    push(arguments, at() + 4);  // where the length will stand
    WASMGRAD_ASSIGN(errno_, call_core(core_, guest_.memory(), arguments));
    if (errno_ != 0) return errno_;
    WASMGRAD_CHECK(guest_.store(at(), buffer));
    WASMGRAD_CHECK(guest_.store(at() + 4, floats ? size / static_cast<std::uint32_t>(sizeof(float)) : size));
    return 0U;
  }

  Expected<std::uint32_t> call_handles(Arguments arguments) {
    const std::uint64_t count = arguments[2].i32;
    WASMGRAD_CHECK(guest_.memory().bytes(arguments[1].i32, count * sizeof(double),
                                         std::string(row_.name) + ": fractions"));
    WASMGRAD_ASSIGN(const std::uint32_t handles, guest_.allocate(count * 4, 4));
    push(arguments, handles);
    WASMGRAD_ASSIGN(const std::uint32_t errno_, call_core(core_, guest_.memory(), arguments));
    if (errno_ != 0) return errno_;
    WASMGRAD_CHECK(guest_.store(at(), handles));
    WASMGRAD_CHECK(guest_.store(at() + 4, static_cast<std::uint32_t>(count)));
    return 0U;
  }

  Expected<std::uint32_t> call_tensor(Arguments arguments) {
    Scratch scratch{};
    Arguments query = arguments;
    for (const std::uint32_t argument : {kScratchRecord, 0U, 0U, kScratchSize}) push(query, argument);
    WASMGRAD_ASSIGN(std::uint32_t errno_, call_core(core_, GuestMemory(scratch), query));
    if (errno_ != 0) return errno_;
    std::uint32_t size = 0;
    std::memcpy(&size, scratch.data() + kScratchSize, sizeof size);
    std::vector<std::byte> room(scratch.size() + std::uint64_t{size});
    for (const std::uint64_t argument : {std::uint64_t{kScratchRecord}, std::uint64_t{scratch.size()},
                                         std::uint64_t{size}, std::uint64_t{kScratchSize}})
      push(arguments, argument);
    WASMGRAD_ASSIGN(errno_, call_core(core_, GuestMemory(room), arguments));
    if (errno_ != 0) return errno_;
    layout::OutputInfo info{};
    std::memcpy(&info, room.data() + kScratchRecord, sizeof info);
    WASMGRAD_ASSIGN(const std::uint32_t dims, guest_.allocate(std::uint64_t{info.rank} * 4, 4));
    for (std::uint32_t i = 0; i < info.rank; ++i) WASMGRAD_CHECK(guest_.store(dims + 4 * i, info.dims[i]));
    WASMGRAD_ASSIGN(const std::uint32_t data, guest_.store_bytes(std::span(room).subspan(scratch.size())));
    WASMGRAD_CHECK(guest_.store(at(), dims));
    WASMGRAD_CHECK(guest_.store(at() + 4, info.rank));
    WASMGRAD_CHECK(guest_.store(at() + 8, static_cast<std::uint8_t>(info.type)));
    WASMGRAD_CHECK(guest_.store(at() + 12, data));
    WASMGRAD_CHECK(guest_.store(at() + 16, size));
    return 0U;
  }

  Status store_error(std::uint32_t errno_) {
    Scratch scratch{};
    Arguments arguments;
    for (const std::uint32_t argument : {0U, 0U, kScratchSize}) push(arguments, argument);
    WASMGRAD_CHECK(call_core(last_error_, GuestMemory(scratch), arguments));
    std::uint32_t size = 0;
    std::memcpy(&size, scratch.data() + kScratchSize, sizeof size);
    WASMGRAD_ASSIGN(const std::uint32_t message, guest_.allocate(size, 1));
    arguments.clear();
    push(arguments, message);
    push(arguments, size);
    push(arguments, at() + 8);
    WASMGRAD_CHECK(call_core(last_error_, guest_.memory(), arguments));
    WASMGRAD_CHECK(guest_.store(at() + 4, message));
    WASMGRAD_CHECK(guest_.store(at() + 8, size));
    WASMGRAD_CHECK(guest_.store(at(), static_cast<std::uint8_t>(errno_ - 1)));
    return guest_.store(area(), std::uint8_t{1});
  }

  const TrainingRow& row_;
  const HostFunction& core_;
  const HostFunction& last_error_;
  ComponentCaller& guest_;
  std::span<const Value> flat_;
  Payload payload_;
};

std::vector<ValueType> flat_types(const TrainingRow& row) {
  std::vector<ValueType> types;
  for (const char letter : std::string_view(row.parameters)) {
    types.push_back(letter == 'I' ? ValueType::kI64 : letter == 'd' ? ValueType::kF64 : ValueType::kI32);
    if (letter == 'o' || letter == 'F') types.push_back(ValueType::kI32);
  }
  types.push_back(ValueType::kI32);  // where the result goes
  return types;
}

using Core = std::shared_ptr<const HostFunction>;

Core find(std::span<const HostFunction> functions, std::string_view name) {
  const auto found = std::ranges::find_if(functions, [&](const HostFunction& function) {
    return function.module == layout::kModule && function.name == name;
  });
  return found != functions.end() ? std::make_shared<const HostFunction>(*found) : nullptr;
}

}  // namespace

ComponentImports training_imports(std::span<const HostFunction> functions) {
  ComponentImports imports;
  const Core last_error = find(functions, "last_error");
  for (const TrainingRow& row : kTrainingRows) {
    const Core core = find(functions, row.core);
    if (core == nullptr || last_error == nullptr) continue;
    const auto call = [&row, core, last_error](ComponentCaller& guest, std::span<const Value> flat,
                                               std::span<Value>) {
      return Call(row, *core, *last_error, guest, flat).run();
    };
    imports.functions.push_back({kInterface, row.name, flat_types(row), {}, call});
  }
  for (const char* resource : {"model", "dataset", "trainer"}) {
    const Core close = find(functions, std::string(resource) + "_close");
    if (close == nullptr) continue;
    const auto drop = [close, resource](std::uint32_t handle) -> Status {
      std::array<std::byte, 8> none{};
      Arguments arguments;
      push(arguments, handle);
      WASMGRAD_ASSIGN(const std::uint32_t errno_, call_core(*close, GuestMemory(none), arguments));
      if (errno_ == 0) return {};
      return invalid("the guest dropped " + std::to_string(handle) + ", which is no handle of a " + resource);
    };
    imports.resources.push_back({kInterface, resource, drop});
  }
  imports.resources.push_back({kInterface, "process", [](std::uint32_t) -> Status {
                                 return invalid("there are no handles of processes");
                               }});
  return imports;
}

}  // namespace wasmgrad::abi::component
