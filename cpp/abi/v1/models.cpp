#include "wasmgrad/abi/v1/models.hpp"

#include <utility>

#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/tensor_records.hpp"

namespace wasmgrad::abi::v1 {

namespace {

using layout::Encoding;

Status check_target(std::uint32_t target) {
  if (target == static_cast<std::uint32_t>(layout::ExecutionTarget::kCpu)) return {};
  return Error{Errc::kInvalidArgument,
               "target " + std::to_string(target) + " is not known; expected 0 (CPU)"};
}

Error unknown_encoding(std::uint32_t encoding, std::string_view known) {
  return {Errc::kInvalidArgument,
          "encoding " + std::to_string(encoding) + " is not known here; expected " + std::string(known)};
}

Expected<Encoding> load_encoding(std::uint32_t encoding) {
  if (encoding <= static_cast<std::uint32_t>(Encoding::kTorchExport)) return static_cast<Encoding>(encoding);
  return unknown_encoding(encoding, "0 (told by the bytes), 1 (TorchScript) or 2 (torch.export)");
}

training::ModelEncoding model_encoding(Encoding encoding) {
  switch (encoding) {
    case Encoding::kTorchScript:
      return training::ModelEncoding::kTorchScript;
    case Encoding::kTorchExport:
      return training::ModelEncoding::kTorchExport;
    default:
      return training::ModelEncoding::kAutodetect;
  }
}

Expected<Encoding> export_encoding(std::uint32_t encoding) {
  const auto known = static_cast<Encoding>(encoding);
  if (known == Encoding::kTorchScript || known == Encoding::kSafetensors || known == Encoding::kLora)
    return known;
  return unknown_encoding(encoding, "1 (TorchScript), 3 (safetensors) or 4 (low-rank branches)");
}

}  // namespace

Expected<std::uint32_t> Models::add(std::span<const std::byte> archive, const std::string& name,
                                    Encoding encoding) {
  WASMGRAD_ASSIGN(std::shared_ptr<training::Model> model,
                  context_.load_model(archive, name, model_encoding(encoding)));
  WASMGRAD_ASSIGN(Budget::Charge charge, context_.budget.charge(model->bytes(), "the model"));
  return table_.insert(std::make_shared<ModelResource>(std::move(model), std::move(charge)));
}

Status Models::load(const GuestMemory& memory, std::uint32_t bytes, std::uint32_t size,
                    std::uint32_t encoding, std::uint32_t target, std::uint32_t model) {
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, model, "model"));
  WASMGRAD_ASSIGN(const auto archive, memory.bytes(bytes, size, "bytes"));
  WASMGRAD_ASSIGN(const Encoding format, load_encoding(encoding));
  WASMGRAD_CHECK(check_target(target));
  WASMGRAD_CHECK(context_.handles.check(1));
  WASMGRAD_ASSIGN(const std::uint32_t handle, add(archive, "model", format));
  result.write(handle);
  return {};
}

Status Models::load_by_name(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes,
                            std::uint32_t target, std::uint32_t model) {
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, model, "model"));
  WASMGRAD_ASSIGN(const std::string text, read_name(memory, name, name_bytes, "name"));
  WASMGRAD_CHECK(check_target(target));
  WASMGRAD_CHECK(context_.handles.check(1));
  const auto granted = context_.config.models.find(text);
  if (granted == context_.config.models.end()) {
    return Error{Errc::kNotFound, "the owner granted no model under the name '" + text + "'"};
  }
  auto archive = read_file(granted->second, context_.config.max_model_file_bytes);
  if (!archive) {
    return context_.owner_error(archive.error().within("model '" + text + "'"),
                                "the owner's file of the model '" + text + "' cannot be read");
  }
  WASMGRAD_ASSIGN(const std::uint32_t handle, add(*archive, text, Encoding::kAutodetect));
  result.write(handle);
  return {};
}

Status Models::export_bytes(const GuestMemory& memory, std::uint32_t model, std::uint32_t encoding,
                            std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(model));
  WASMGRAD_ASSIGN(const auto result, BytesResult::at(memory, buffer, buffer_bytes, written));
  WASMGRAD_ASSIGN(const Encoding format, export_encoding(encoding));
  if (resource->exported_encoding != format) resource->exported.drop();
  resource->exported_encoding = format;
  return resource->exported.answer(result, context_.budget, "the exported model", [&] {
    if (format == Encoding::kLora) return resource->model->save_adapters();
    return format == Encoding::kSafetensors ? resource->model->save_safetensors() : resource->model->save();
  });
}

Status Models::close(const GuestMemory& /*memory*/, std::uint32_t model) {
  WASMGRAD_CHECK(table_.close(model));
  return {};
}

}  // namespace wasmgrad::abi::v1
