#include "wasmgrad/abi/compat/train_call.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/abi/compat/layout.hpp"
#include "wasmgrad/training/data/class_labels.hpp"
#include "wasmgrad/training/data/dataset.hpp"
#include "wasmgrad/training/loop/trainer.hpp"
#include "wasmgrad/training/model/model.hpp"

namespace wasmgrad::abi {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// `a/b/model.pt` becomes `a/b/trained_model.pt`.
std::string trained_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::size_t name = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(0, name) + "trained_" + path.substr(name);
}

// The model of a call: its archive, and where its trained form goes.
struct ModelSource {
  std::string name;
  std::vector<std::byte> archive;
  std::optional<std::string> guest_output;  // inside the grants
};

class TrainCall {
 public:
  TrainCall(GuestContext& context, std::optional<TrainingOutcome>& outcome, GuestMemory memory,
            const TrainArguments& arguments)
      : context_(context),
        outcome_(outcome),
        config_(context.config),
        memory_(memory),
        arguments_(arguments) {}

  Status run() {
    const StopToken::Polling polling(config_.stop);
    WASMGRAD_ASSIGN(const training::TrainerOptions options, trainer_options());
    WASMGRAD_ASSIGN(const auto tensors, read_tensors(memory_, arguments_));
    WASMGRAD_ASSIGN(ModelSource source, find_model());
    WASMGRAD_CHECK(check_targets(source));
    WASMGRAD_CHECK(copy_tensors(tensors, options));
    if (config_.observer != nullptr) config_.observer->on_classes(arguments_.labels);
    const Budget& budget = context_.budget;
    WASMGRAD_ASSIGN(const auto model, context_.load_model(source.archive, source.name));
    WASMGRAD_ASSIGN(Budget::Charge model_charge, budget.charge(model->bytes(), "the model"));
    charge_.add(std::move(model_charge));
    WASMGRAD_ASSIGN(const auto trainer,
                    model->trainer(options, config_.observer, config_.stop, config_.replication));
    WASMGRAD_ASSIGN(Budget::Charge state_charge,
                    budget.charge(trainer->state_bytes(), "the trainer's state"));
    charge_.add(std::move(state_charge));
    if (const Status set = context_.set_weights(*trainer); !set)
      return set.error().within(context_.weights_name());
    WASMGRAD_CHECK(resume(*trainer));
    return fit(*trainer, source);
  }

 private:
  // The guest's options under the owner's; only what the owner left to the guest is judged.
  [[nodiscard]] Expected<training::TrainerOptions> trainer_options() const {
    if (arguments_.device != static_cast<std::int32_t>(compat::Device::kCpu)) {
      return invalid("device " + std::to_string(arguments_.device) + " is not known; expected 0 (CPU)");
    }
    if (arguments_.labels < 0) {
      return invalid("the number of labels is " + std::to_string(arguments_.labels) +
                     "; expected that of the classes, or 0 for regression");
    }
    training::TrainerOptions options;
    if (!config_.overrides.optimizer) {
      WASMGRAD_ASSIGN(options.optimizer.kind, training::optimizer_from_abi(arguments_.optimizer));
    }
    if (!config_.overrides.loss) {
      WASMGRAD_ASSIGN(options.loss, training::loss_from_abi(arguments_.loss));
    }
    options.by_position = true;  // the records' names say what a tensor is, not which argument it is for
    options.optimizer.learning_rate = arguments_.learning_rate;
    options.epochs = arguments_.epochs;
    options.batch_size = arguments_.batch_size;
    options = config_.overrides.apply(options);
    WASMGRAD_CHECK(context_.check_adapters(options));
    WASMGRAD_CHECK(training::validate(options));
    if (training::is_classification(options.loss) && arguments_.labels == 0) {
      return invalid("the number of labels is 0, but the loss " +
                     std::string(training::name_of(options.loss)) + " needs the number of classes");
    }
    return options;
  }

  [[nodiscard]] Expected<ModelSource> find_model() const {
    if (!arguments_.has_model_path) {
      if (!config_.default_model) {
        return Error{Errc::kNotFound, "the guest names no model, and the host was given no default model"};
      }
      return named_model("default model", *config_.default_model);
    }
    WASMGRAD_ASSIGN(const auto text,
                    memory_.text(arguments_.model_path, arguments_.model_path_bytes, "model path"));
    constexpr std::size_t kMaxPath = 4096;
    if (text.empty() || text.size() > kMaxPath) {
      return invalid("the model path has " + std::to_string(text.size()) + " bytes; expected 1 to " +
                     std::to_string(kMaxPath));
    }
    const std::string path(text);
    if (const auto named = config_.models.find(path); named != config_.models.end()) {
      return named_model("model '" + path + "'", named->second);
    }
    auto archive = config_.grants.read(path, config_.max_model_file_bytes);
    if (!archive) return archive.error().within("model");
    return ModelSource{path, std::move(archive).value(), trained_path(path)};
  }

  [[nodiscard]] Expected<ModelSource> named_model(const std::string& what,
                                                  const std::filesystem::path& file) const {
    auto archive = read_file(file, config_.max_model_file_bytes);
    if (!archive) return archive.error().within(what);
    return ModelSource{file.filename().string(), std::move(archive).value(), std::nullopt};
  }

  [[nodiscard]] Status check_targets(const ModelSource& source) const {
    if (config_.checkpoint) WASMGRAD_CHECK(check_can_write(*config_.checkpoint));
    if (config_.adapters) WASMGRAD_CHECK(check_can_write(*config_.adapters));
    if (config_.weights_output) WASMGRAD_CHECK(check_can_write(*config_.weights_output));
    if (config_.output) return check_can_write(*config_.output);
    if (source.guest_output && context_.writes_results())
      return config_.grants.check_writable(*source.guest_output);
    return {};
  }

  Status copy_tensors(const std::vector<TensorView>& tensors, const training::TrainerOptions& options) {
    for (std::size_t i = 0; i < tensors.size(); i += 2) {
      const auto start = std::chrono::steady_clock::now();
      const Budget& budget = context_.budget;
      const std::span pair = std::span(tensors).subspan(i, 2);
      auto data = training::Dataset::create(pair.first(1), pair.last(1), budget.available());
      if (!data) {
        return data.error().within("tensors " + std::to_string(i) + " and " + std::to_string(i + 1) + " (" +
                                   std::string(tensor_role(i)) + " and labels)");
      }
      if (training::is_classification(options.loss)) {
        if (const Status status = check_labels(*data, options.ignore_index); !status) {
          return status.error().within("tensor " + std::to_string(i + 1) + " (" +
                                       std::string(tensor_role(i + 1)) + ")");
        }
      }
      // Both tensors are copied in one go: the time is shared out by size.
      const double seconds = seconds_since(start);
      const double total = static_cast<double>(tensors[i].data().size() + tensors[i + 1].data().size());
      for (std::size_t j = i; j < i + 2 && config_.observer != nullptr; ++j) {
        const double share = total > 0 ? static_cast<double>(tensors[j].data().size()) / total : 0;
        config_.observer->on_tensor(tensor_role(j), tensors[j], seconds * share);
      }
      WASMGRAD_ASSIGN(Budget::Charge charge, budget.charge(data->bytes(), tensor_role(i)));
      charge_.add(std::move(charge));
      datasets_.push_back(std::move(data).value());
    }
    return {};
  }

  [[nodiscard]] Status check_labels(const training::Dataset& data, std::int64_t ignored) const {
    WASMGRAD_ASSIGN(const std::int64_t highest, data.highest_label(0, ignored));
    if (highest < arguments_.labels) return {};
    return training::label_beyond(data.targets()[0].view, data.index(), arguments_.labels, ignored,
                                  "the guest declares");
  }

  Status resume(training::Trainer& trainer) {
    const auto checkpoint = context_.read_resumed();
    if (!checkpoint) return checkpoint.error().within(context_.resumed_name());
    if (!*checkpoint) return {};
    const Status restored = trainer.restore(**checkpoint);
    return restored ? restored : Status(restored.error().within(context_.resumed_name()));
  }

  Status fit(training::Trainer& trainer, const ModelSource& source) {
    const auto dataset = [&](std::size_t index) {
      return index < datasets_.size() ? std::optional(datasets_[index]) : std::nullopt;
    };
    const auto save_state = [&](std::int64_t epoch) -> Status {
      if (!config_.checkpoint) return {};
      WASMGRAD_ASSIGN(const auto state, trainer.checkpoint());
      WASMGRAD_CHECK(write_file_atomic(*config_.checkpoint, state));
      if (config_.observer != nullptr) config_.observer->on_checkpoint(config_.checkpoint->native(), epoch);
      return {};
    };
    const std::int64_t steps_before = trainer.steps();
    if (config_.replication.group != nullptr && steps_before == 0) WASMGRAD_CHECK(save_state(0));
    WASMGRAD_ASSIGN(training::FitReport report,
                    trainer.fit(datasets_[0], dataset(2), dataset(1), save_state));
    context_.steps += trainer.steps() - steps_before;
    context_.samples += report.unfinished.samples;
    for (const training::EpochReport& epoch : report.epochs) context_.samples += epoch.train.samples;
    WASMGRAD_ASSIGN(std::vector<std::byte> archive, trainer.model().save());
    const bool interrupted = report.interrupted;
    outcome_ = TrainingOutcome{std::move(report), std::move(archive)};
    if (interrupted) {
      WASMGRAD_CHECK(context_.save_interrupted(outcome_->model));
      return Error{Errc::kInterrupted, "training was interrupted after " + training::progress_text(trainer)};
    }
    WASMGRAD_CHECK(context_.save_adapters(trainer.model()));
    WASMGRAD_CHECK(context_.save_weights(trainer.model()));
    return save_model(source);
  }

  Status save_model(const ModelSource& source) {
    const auto& archive = outcome_->model;
    std::string path;
    if (config_.output) {
      path = config_.output->string();
      WASMGRAD_CHECK(write_file_atomic(*config_.output, archive));
    } else if (source.guest_output && context_.writes_results()) {
      path = *source.guest_output;
      WASMGRAD_CHECK(config_.grants.write(path, archive));
    } else {
      return {};  // the owner takes it from outcome()
    }
    if (config_.observer != nullptr) config_.observer->on_model_saved(path, archive.size());
    return {};
  }

  GuestContext& context_;
  std::optional<TrainingOutcome>& outcome_;
  const HostConfig& config_;
  GuestMemory memory_;
  TrainArguments arguments_;
  std::vector<training::Dataset> datasets_;
  Budget::Charge charge_;  // of all that the call makes the host hold
};

}  // namespace

Status train_call(GuestContext& context, std::optional<TrainingOutcome>& outcome, GuestMemory memory,
                  const TrainArguments& arguments) {
  return TrainCall(context, outcome, memory, arguments).run();
}

}  // namespace wasmgrad::abi
