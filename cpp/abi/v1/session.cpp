#include "wasmgrad/abi/v1/session.hpp"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/imports.hpp"
#include "wasmgrad/abi/tensor_records.hpp"
#include "wasmgrad/abi/v1/layout.hpp"

namespace wasmgrad::abi::v1 {

namespace {

/// What reads a model's file, or reads or writes the owner's files of a run.
constexpr std::string_view kOpening[] = {"model_load",   "model_load_by_name", "trainer_create",
                                         "trainer_fit",  "trainer_epoch",      "trainer_evaluate",
                                         "trainer_close"};

/// The owner keeps an event of each.
constexpr std::int64_t kMostReports = 100'000;

constexpr std::uint32_t number_of(Errc code) noexcept { return static_cast<std::uint32_t>(code); }

constexpr Errnos kErrnos = {number_of, number_of(Errc::kInvalidArgument), number_of(Errc::kRuntimeError)};

}  // namespace

Session::Session(GuestContext& context)
    : context_(context), models_(context), datasets_(context), trainers_(context, models_, datasets_) {}

std::vector<HostFunction> Session::functions() {
  std::vector<HostFunction> functions;
  const auto add = [&](const char* name, auto& object, auto method) {
    functions.push_back(
        errno_import(layout::kModule, name, kErrnos, context_.gate, last_error_, object, method));
  };
  add("model_load", models_, &Models::load);
  add("model_load_by_name", models_, &Models::load_by_name);
  add("model_export", models_, &Models::export_bytes);
  add("model_close", models_, &Models::close);
  add("dataset_create", datasets_, &Datasets::create);
  add("dataset_append", datasets_, &Datasets::append);
  add("dataset_split", datasets_, &Datasets::split);
  add("dataset_size", datasets_, &Datasets::size);
  add("dataset_close", datasets_, &Datasets::close);
  add("trainer_create", trainers_, &Trainers::create);
  add("trainer_fit", trainers_, &Trainers::fit);
  add("trainer_epoch", trainers_, &Trainers::epoch);
  add("trainer_step", trainers_, &Trainers::step);
  add("trainer_backward", trainers_, &Trainers::backward);
  add("trainer_apply", trainers_, &Trainers::apply);
  add("trainer_evaluate", trainers_, &Trainers::evaluate);
  add("trainer_progress", trainers_, &Trainers::progress);
  add("trainer_predict", trainers_, &Trainers::predict);
  add("trainer_output", trainers_, &Trainers::output);
  add("trainer_set", trainers_, &Trainers::set);
  add("trainer_parameters", trainers_, &Trainers::parameters);
  add("trainer_set_parameters", trainers_, &Trainers::set_parameters);
  add("trainer_gradients", trainers_, &Trainers::gradients);
  add("trainer_set_gradients", trainers_, &Trainers::set_gradients);
  add("trainer_buffers", trainers_, &Trainers::buffers);
  add("trainer_set_buffers", trainers_, &Trainers::set_buffers);
  add("trainer_checkpoint", trainers_, &Trainers::checkpoint);
  add("trainer_restore", trainers_, &Trainers::restore);
  add("trainer_close", trainers_, &Trainers::close);
  add("process_group", *this, &Session::process_group);
  add("run_config", *this, &Session::run_config);
  add("run_report", *this, &Session::run_report);
  functions.push_back(errno_import(layout::kModule, "last_error", kErrnos, context_.gate, unread_error_,
                                   *this, &Session::copy_last_error));
  for (HostFunction& function : functions)
    function.opens_files = std::ranges::find(kOpening, function.name) != std::end(kOpening);
  return functions;
}

Status Session::process_group(const GuestMemory& memory, std::uint32_t rank, std::uint32_t size) {
  WASMGRAD_ASSIGN(const auto own_rank, ValueResult<std::uint32_t>::at(memory, rank, "rank"));
  WASMGRAD_ASSIGN(const auto processes, ValueResult<std::uint32_t>::at(memory, size, "size"));
  const training::Collective* group = context_.config.replication.group;
  own_rank.write(group == nullptr ? 0 : static_cast<std::uint32_t>(group->rank()));
  processes.write(group == nullptr ? 1 : static_cast<std::uint32_t>(group->size()));
  return {};
}

Status Session::run_config(const GuestMemory& memory, std::uint32_t key, std::uint32_t key_bytes,
                           std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  WASMGRAD_ASSIGN(const std::string name, read_name(memory, key, key_bytes, "key"));
  const auto found = context_.config.guest_config.find(name);
  if (found == context_.config.guest_config.end())
    return Error{Errc::kNotFound, "the owner's configuration has no '" + name + "'"};
  return result.write(std::as_bytes(std::span(found->second)));
}

Status Session::run_report(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes,
                           double value) {
  WASMGRAD_ASSIGN(const std::string figure, read_name(memory, name, name_bytes, "name"));
  if (figure.empty()) return invalid("the name is empty");
  if (context_.reports == kMostReports) {
    return Error{Errc::kTooLarge,
                 "the guest has reported " + std::to_string(kMostReports) + " figures, as many as it may"};
  }
  ++context_.reports;
  if (context_.config.observer != nullptr) context_.config.observer->on_report(figure, value);
  return {};
}

Status Session::copy_last_error(const GuestMemory& memory, std::uint32_t buffer, std::uint32_t buffer_bytes,
                                std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  const std::string text = last_error_.get();
  return result.write(std::as_bytes(std::span(text)));
}

}  // namespace wasmgrad::abi::v1
