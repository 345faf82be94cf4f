#include "wasmgrad/training/torch/model/torch_model.hpp"

#include <unordered_set>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/torch/loop/torch_trainer.hpp"
#include "wasmgrad/training/torch/model/model_archive.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/model/safe_operators.hpp"
#include "wasmgrad/training/torch/model/torch_predictor.hpp"
#include "wasmgrad/training/torch/pt2/load.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"
#include "wasmgrad/training/torch/vet/archive.hpp"

namespace wasmgrad::training {

namespace {

const at::Tensor& tensor_of(const NamedTensor& entry) { return entry.tensor; }
template <class Entry>
const at::Tensor& tensor_of(const Entry& entry) {
  return entry.value;
}

/// Collects tensors under their names, a shared one under its first name only.
class Collector {
 public:
  explicit Collector(const ModelNames& names) : names_(names) {}

  template <class List, class Wanted>
  void add(const List& list, Wanted&& wanted) {
    for (const auto& entry : list) {
      const at::Tensor& tensor = tensor_of(entry);
      if (wanted(tensor) && seen_.insert(tensor.unsafeGetTensorImpl()).second) {
        const auto own = names_.tensors.find(entry.name);
        found_.push_back({own == names_.tensors.end() ? entry.name : own->second, tensor});
      }
    }
  }
  std::vector<NamedTensor> take() { return std::move(found_); }

 private:
  const ModelNames& names_;
  std::unordered_set<const void*> seen_;
  std::vector<NamedTensor> found_;
};

}  // namespace

std::vector<NamedTensor> TorchModel::Storage::trainable() const {
  Collector collector(names);
  collector.add(module.named_parameters(), [](const at::Tensor& tensor) { return tensor.requires_grad(); });
  return collector.take();
}

std::vector<NamedTensor> TorchModel::Storage::tensors() const {
  Collector collector(names);
  const auto defined = [](const at::Tensor& tensor) { return tensor.defined(); };
  collector.add(module.named_parameters(), defined);
  collector.add(module.named_buffers(), defined);
  std::vector<NamedTensor> found = collector.take();
  for (NamedTensor& entry : branches()) found.push_back(std::move(entry));
  return found;
}

std::vector<NamedTensor> TorchModel::Storage::branches() const {
  std::vector<NamedTensor> found;
  for (const Adapter& adapter : adapters) {
    const std::string prefix = adapter.module.empty() ? "" : adapter.module + ".";
    found.push_back({prefix + "lora_A.weight", adapter.a});
    found.push_back({prefix + "lora_B.weight", adapter.b});
  }
  return found;
}

std::vector<NamedTensor> TorchModel::Storage::floating_buffers() const {
  std::unordered_set<const void*> parameters;
  for (const auto& entry : module.named_parameters()) parameters.insert(entry.value.unsafeGetTensorImpl());
  // A module's own before those of its children, as torch has it: the same order for every format.
  std::vector<NamedTensor> buffers;
  for (const auto& part : module.named_modules())
    for (const auto& buffer : part.value.named_buffers(/*recurse=*/false))
      buffers.push_back({(part.name.empty() ? "" : part.name + ".") + buffer.name, buffer.value});
  Collector collector(names);
  collector.add(buffers, [&parameters](const at::Tensor& tensor) {
    return tensor.defined() && tensor.is_floating_point() &&
           !parameters.contains(tensor.unsafeGetTensorImpl());
  });
  return collector.take();
}

Expected<TorchModel> TorchModel::load(std::span<const std::byte> archive, const std::string& name,
                                      std::uint64_t max_bytes, ModelEncoding encoding, ModelUse use) {
  const std::string where = "model '" + name + "'";
  return guarded(where, [&]() -> Expected<TorchModel> {
    // What is wrong is told in the file's own words.
    const auto refused = [&where](const Error& error) {
      return Error{error.code, printable(error.message)}.within(where);
    };
    const auto parsed = vet::Archive::parse(archive);
    if (!parsed) return refused(parsed.error());
    const bool exported = pt2::is_exported(*parsed);
    if (encoding != ModelEncoding::kAutodetect && exported != (encoding == ModelEncoding::kTorchExport)) {
      return Error{Errc::kInvalidEncoding,
                   where + (exported ? " is a torch.export program, expected TorchScript"
                                     : " is not a torch.export program, which was expected")};
    }
    auto loaded = exported ? pt2::load_exported(*parsed, max_bytes, use)
                           : load_torchscript(archive, *parsed, max_bytes);
    if (!loaded) return refused(loaded.error());

    auto storage = std::make_shared<Storage>(std::move(loaded).value());
    storage->name = name;
    make_safe(storage->module);
    if (!storage->module.find_method("forward")) {
      return Error{Errc::kInvalidArgument, where + " has no method 'forward'; a trainable model needs one"};
    }
    std::uint64_t bytes = 0;
    for (const NamedTensor& entry : storage->tensors()) bytes += entry.tensor.nbytes();
    if (bytes > max_bytes) {
      return Error{Errc::kTooLarge, where + " holds " + std::to_string(bytes) +
                                        " bytes of parameters and buffers; " + std::to_string(max_bytes) +
                                        " are allowed"};
    }
    // One mode from the start; what the file says about the modes of parts is in `held`.
    storage->module.eval();
    return TorchModel(std::move(storage));
  });
}

std::vector<std::string> TorchModel::branches() const {
  std::vector<std::string> names;
  for (NamedTensor& entry : storage_->branches()) names.push_back(std::move(entry.name));
  return names;
}

const std::vector<std::string>& TorchModel::warnings() const noexcept { return storage_->warnings; }

std::int64_t TorchModel::parameter_count() const {
  std::int64_t count = 0;
  for (const NamedTensor& entry : storage_->trainable()) count += entry.tensor.numel();
  return count;
}

Expected<std::unique_ptr<Trainer>> TorchModel::trainer(TrainerOptions options, Observer* observer,
                                                       const StopToken* stop,
                                                       const Replication& replication) const {
  WASMGRAD_ASSIGN(TorchTrainer made,
                  TorchTrainer::create(*this, std::move(options), observer, stop, replication));
  return std::unique_ptr<Trainer>(std::make_unique<TorchTrainer>(std::move(made)));
}

Expected<std::unique_ptr<Predictor>> TorchModel::predictor() const {
  if (!storage_->adapters.empty()) {
    return Error{Errc::kUnsupportedOperation,
                 "model '" + storage_->name +
                     "' has low-rank branches, which its trainer predicts with; save it and load it again"};
  }
  WASMGRAD_ASSIGN(TorchPredictor made, TorchPredictor::create(*this));
  return std::unique_ptr<Predictor>(std::make_unique<TorchPredictor>(std::move(made)));
}

}  // namespace wasmgrad::training
