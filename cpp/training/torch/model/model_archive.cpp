#include "wasmgrad/training/torch/model/model_archive.hpp"

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/model/adapters.hpp"
#include "wasmgrad/training/torch/model/mode.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"
#include "wasmgrad/training/torch/vet/vet.hpp"

namespace wasmgrad::training {

namespace {

constexpr std::uint64_t kMaxNamesBytes = std::uint64_t{16} << 20;

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

using Names = std::map<std::string, std::string>;

Error misfit(const std::string& what) { return {Errc::kInvalidEncoding, "its record of names " + what}; }

/// The schema with other names for arguments after self.
c10::FunctionSchema renamed(const c10::FunctionSchema& schema, const Names& names) {
  std::vector<c10::Argument> arguments;
  for (const c10::Argument& argument : schema.arguments()) {
    const auto other = arguments.empty() ? names.end() : names.find(argument.name());
    arguments.emplace_back(other == names.end() ? argument.name() : other->second, argument.type(),
                           argument.N(), argument.default_value(), argument.kwarg_only());
  }
  return schema.cloneWithArguments(std::move(arguments));
}

Status check_tensor_names(const torch::jit::Module& module, const Names& names) {
  std::set<std::string> own;
  std::size_t known = 0;
  const auto check = [&](const auto& list) -> Status {
    for (const auto& entry : list) {
      const auto found = names.find(entry.name);
      if (found != names.end()) ++known;
      if (const std::string& name = found == names.end() ? entry.name : found->second;
          !own.insert(name).second)
        return misfit("gives two tensors the name '" + name + "'");
    }
    return {};
  };
  WASMGRAD_CHECK(check(module.named_parameters()));
  WASMGRAD_CHECK(check(module.named_buffers()));
  return known == names.size() ? Status{} : misfit("names tensors that the model does not have");
}

Status check_argument_names(const c10::FunctionSchema& schema, const Names& names) {
  std::set<std::string> own;
  std::size_t known = 0;
  for (std::size_t i = 1; i < schema.arguments().size(); ++i) {
    const auto found = names.find(schema.arguments()[i].name());
    if (found != names.end()) ++known;
    if (!own.insert(found == names.end() ? schema.arguments()[i].name() : found->second).second)
      return misfit("gives two arguments of forward the same name");
  }
  return known == names.size() ? Status{} : misfit("names arguments that forward does not have");
}

Expected<ModelNames> names_of(const torch::jit::Module& module, const vet::Archive& archive) {
  const vet::Record* record = archive.find("extra/" + std::string(kNamesRecord));
  if (record == nullptr) return ModelNames{};
  WASMGRAD_ASSIGN(const std::string text, vet::Archive::read(*record, kMaxNamesBytes));
  WASMGRAD_ASSIGN(ModelNames names, read_names(text));
  WASMGRAD_CHECK(check_tensor_names(module, names.tensors));
  if (const auto forward = module.find_method("forward"))
    WASMGRAD_CHECK(check_argument_names(forward->function().getSchema(), names.arguments));
  return names;
}

Expected<TorchModel::Storage> load(std::span<const std::byte> bytes, const vet::Archive& archive,
                                   std::uint64_t max_bytes, c10::Device device) {
  VetLimits limits;
  limits.max_storage_bytes = max_bytes;
  WASMGRAD_CHECK(vet_archive(archive, limits));
  try {
    TorchModel::Storage loaded;
    loaded.module = torch::jit::load(std::make_shared<SpanReader>(bytes), device, /*load_debug_files=*/false);
    loaded.held = held_in(loaded.module);
    if (device == at::kCPU) loaded.warnings = restore_mode(loaded.module);  // which compares constants
    WASMGRAD_ASSIGN(loaded.names, names_of(loaded.module, archive));
    if (!loaded.names.arguments.empty()) {
      torch::jit::Function& forward = loaded.module.get_method("forward").function();
      forward.setSchema(renamed(forward.getSchema(), loaded.names.arguments));
    }
    return loaded;
  } catch (const std::exception&) {
    return Error{Errc::kInvalidEncoding, current_error("it cannot be loaded").message};
  }
}

/// What is written while this lives: evaluation mode, and forward's arguments as TorchScript carries them.
class WrittenForm {
 public:
  explicit WrittenForm(const TorchModel::Storage& storage)
      : module_(storage.module),
        forward_(module_.get_method("forward").function()),
        schema_(forward_.getSchema()),
        was_training_(module_.is_training()) {
    Names carried;
    for (const auto& [argument, own] : storage.names.arguments) carried.emplace(own, argument);
    if (!carried.empty()) forward_.setSchema(renamed(schema_, carried));
    module_.eval();
  }
  WrittenForm(const WrittenForm&) = delete;
  WrittenForm& operator=(const WrittenForm&) = delete;
  ~WrittenForm() {
    module_.train(was_training_);
    forward_.setSchema(schema_);
  }

 private:
  torch::jit::Module module_;
  torch::jit::Function& forward_;
  c10::FunctionSchema schema_;
  bool was_training_;
};

void clear_hiding_names(torch::jit::Block* block) {
  for (torch::jit::Node* node : block->nodes()) {
    for (torch::jit::Value* value : node->outputs())
      if (value->hasDebugName() && hides_a_word(value->debugNameBase())) value->setDebugName("");
    for (torch::jit::Block* inner : node->blocks()) {
      for (torch::jit::Value* value : inner->inputs())
        if (value->hasDebugName() && hides_a_word(value->debugNameBase())) value->setDebugName("");
      clear_hiding_names(inner);
    }
  }
}

/// Reading self.torch makes a variable `torch`, and torch.add means something else after it.
void clear_hiding_names(const torch::jit::Module& module) {
  for (const torch::jit::Module& part : module.modules())
    for (const torch::jit::Method& method : part.get_methods()) clear_hiding_names(method.graph()->block());
}

std::vector<std::byte> written(const TorchModel::Storage& storage) {
  clear_hiding_names(storage.module);
  const WrittenForm form(storage);
  torch::jit::ExtraFilesMap extra;
  if (!storage.names.empty()) extra.emplace(kNamesRecord, write_names(storage.names));
  std::vector<std::byte> archive;
  torch::jit::ExportModule(
      storage.module,
      [&archive](const void* data, std::size_t count) {
        const auto* bytes = static_cast<const std::byte*>(data);
        archive.insert(archive.end(), bytes, bytes + count);
        return count;
      },
      extra);
  return archive;
}

/// Every tensor's name in the module, a shared one's too, and its shape.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes(const torch::jit::Module& module) {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> found;
  const auto add = [&found](const auto& list) {
    for (const auto& entry : list)
      if (entry.value.defined()) found.emplace_back(entry.name, entry.value.sizes().vec());
  };
  add(module.named_parameters());
  add(module.named_buffers());
  return found;
}

/// Whether a reader gets the model back, with every tensor under its name. Looks at the tensors' bytes one
/// record at a time, without keeping them.
Status check_reads_back(std::span<const std::byte> bytes, const TorchModel::Storage& storage) {
  WASMGRAD_ASSIGN(const vet::Archive archive, vet::Archive::parse(bytes));
  auto read = load(bytes, archive, bytes.size(), at::kMeta);
  // torch compares a program's constants, if it has several, and cannot without their values.
  if (!read) read = load(bytes, archive, bytes.size(), at::kCPU);
  if (!read) return read.error();
  if (read->names == storage.names && shapes(read->module) == shapes(storage.module)) return {};
  return Error{Errc::kUnknown, "its parameters and buffers come back under other names"};
}

}  // namespace

Expected<TorchModel::Storage> load_torchscript(std::span<const std::byte> bytes, const vet::Archive& archive,
                                               std::uint64_t max_bytes) {
  return load(bytes, archive, max_bytes, at::kCPU);
}

Expected<std::vector<std::byte>> TorchModel::save() const {
  const std::string where = "saving model '" + storage_->name + "'";
  return guarded(where, [&]() -> Expected<std::vector<std::byte>> {
    const MergedWeights merged(*storage_);
    std::vector<std::byte> archive = written(*storage_);
    if (const Status read = check_reads_back(archive, *storage_); !read) {
      return Error{Errc::kUnsupportedOperation,
                   where + ": TorchScript cannot carry it: what was written cannot be read again (" +
                       read.error().message + "); safetensors and checkpoints keep its weights"};
    }
    return archive;
  });
}

}  // namespace wasmgrad::training
