#include "wasmgrad/training/model.hpp"

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/exported/load.hpp"
#include "wasmgrad/training/mode.hpp"
#include "wasmgrad/training/model_storage.hpp"
#include "wasmgrad/training/torch_error.hpp"
#include "wasmgrad/training/vet/vet.hpp"

namespace wasmgrad::training {

namespace {

/// Lets torch read the archive where it lies.
class SpanReader final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit SpanReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t size() const override { return bytes_.size(); }
  std::size_t read(std::uint64_t position, void* target, std::size_t count,
                   const char* /*what*/) const override {
    if (position >= bytes_.size()) return 0;
    count = std::min(count, bytes_.size() - static_cast<std::size_t>(position));
    std::memcpy(target, bytes_.data() + position, count);
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
};

/// Collects tensors under their names, a shared one under its first name only.
class Collector {
 public:
  template <class List, class Wanted>
  void add(const List& list, Wanted&& wanted) {
    for (const auto& entry : list) {
      if (wanted(entry.value) && seen_.insert(entry.value.unsafeGetTensorImpl()).second) {
        found_.push_back({entry.name, entry.value});
      }
    }
  }
  std::vector<NamedTensor> take() { return std::move(found_); }

 private:
  std::unordered_set<const void*> seen_;
  std::vector<NamedTensor> found_;
};

Expected<Model::Storage> load_torchscript(std::span<const std::byte> bytes, const vet::Archive& archive,
                                          std::uint64_t max_bytes) {
  VetLimits limits;
  limits.max_storage_bytes = max_bytes;
  WASMGRAD_CHECK(vet_archive(archive, limits));
  try {
    Model::Storage storage;
    storage.module =
        torch::jit::load(std::make_shared<SpanReader>(bytes), at::kCPU, /*load_debug_files=*/false);
    storage.held = held_in(storage.module);
    storage.warnings = restore_mode(storage.module);
    return storage;
  } catch (const std::exception&) {
    return Error{Errc::kInvalidEncoding, current_error("it cannot be loaded").message};
  }
}

}  // namespace

std::vector<NamedTensor> Model::Storage::trainable() const {
  Collector collector;
  collector.add(module.named_parameters(), [](const at::Tensor& tensor) { return tensor.requires_grad(); });
  return collector.take();
}

std::vector<NamedTensor> Model::Storage::tensors() const {
  Collector collector;
  const auto defined = [](const at::Tensor& tensor) { return tensor.defined(); };
  collector.add(module.named_parameters(), defined);
  collector.add(module.named_buffers(), defined);
  return collector.take();
}

Expected<Model> Model::load(std::span<const std::byte> archive, const std::string& name,
                            std::uint64_t max_bytes, ModelEncoding encoding) {
  const std::string where = "model '" + name + "'";
  return guarded(where, [&]() -> Expected<Model> {
    // What is wrong is told in the file's own words.
    const auto refused = [&where](const Error& error) {
      return Error{error.code, printable(error.message)}.within(where);
    };
    const auto parsed = vet::Archive::parse(archive);
    if (!parsed) return refused(parsed.error());
    const bool exported = exported::is_exported(*parsed);
    if (encoding != ModelEncoding::kAutodetect && exported != (encoding == ModelEncoding::kTorchExport)) {
      return Error{Errc::kInvalidEncoding,
                   where + (exported ? " is a torch.export program, expected TorchScript"
                                     : " is not a torch.export program, which was expected")};
    }
    auto loaded = exported ? exported::load_exported(*parsed, max_bytes)
                           : load_torchscript(archive, *parsed, max_bytes);
    if (!loaded) return refused(loaded.error());

    auto storage = std::make_shared<Storage>(std::move(loaded).value());
    storage->name = name;
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
    return Model(std::move(storage));
  });
}

Expected<std::vector<std::byte>> Model::save() const {
  return guarded("saving model '" + storage_->name + "'", [&]() -> Expected<std::vector<std::byte>> {
    const bool was_training = storage_->module.is_training();
    storage_->module.eval();
    std::vector<std::byte> archive;
    torch::jit::ExportModule(storage_->module, [&archive](const void* data, std::size_t count) {
      const auto* bytes = static_cast<const std::byte*>(data);
      archive.insert(archive.end(), bytes, bytes + count);
      return count;
    });
    storage_->module.train(was_training);
    return archive;
  });
}

const std::vector<std::string>& Model::warnings() const noexcept { return storage_->warnings; }

std::int64_t Model::parameter_count() const {
  std::int64_t count = 0;
  for (const NamedTensor& entry : storage_->trainable()) count += entry.tensor.numel();
  return count;
}

}  // namespace wasmgrad::training
