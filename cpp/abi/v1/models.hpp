// The models of wasmgrad:training@0.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/handle_table.hpp"
#include "wasmgrad/abi/v1/held_bytes.hpp"
#include "wasmgrad/abi/v1/layout.hpp"
#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/training/model/model.hpp"

namespace wasmgrad::abi::v1 {

/// A model as its handle, and the trainer that uses it, hold it.
struct ModelResource {
  ModelResource(std::shared_ptr<training::Model> loaded, Budget::Charge storages)
      : model(std::move(loaded)), charge(std::move(storages)) {}

  std::shared_ptr<training::Model> model;
  Budget::Charge charge;
  bool has_trainer = false;
  bool has_weights =
      false;           ///< the owner's were put in, if there are some: a second trainer goes on from them
  HeldBytes exported;  ///< of `exported_encoding`; a trainer drops it when the weights move
  layout::Encoding exported_encoding = layout::Encoding::kAutodetect;
};

class Models {
 public:
  explicit Models(GuestContext& context) : context_(context), table_("model", context.handles) {}

  Status load(const GuestMemory& memory, std::uint32_t bytes, std::uint32_t size, std::uint32_t encoding,
              std::uint32_t target, std::uint32_t model);
  Status load_by_name(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes,
                      std::uint32_t target, std::uint32_t model);
  Status export_bytes(const GuestMemory& memory, std::uint32_t model, std::uint32_t encoding,
                      std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written);
  Status close(const GuestMemory& memory, std::uint32_t model);

  [[nodiscard]] Expected<std::shared_ptr<ModelResource>> find(std::uint32_t handle) const {
    return table_.find(handle);
  }

 private:
  Expected<std::uint32_t> add(std::span<const std::byte> archive, const std::string& name,
                              layout::Encoding encoding);

  GuestContext& context_;
  HandleTable<ModelResource> table_;
};

}  // namespace wasmgrad::abi::v1
