// A WebAssembly component as the definitions of its binary, in their order, which is the order in which a
// linker makes them. Types are kept as far as linking needs them: which of them are resources. Private to
// sandbox/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::sandbox::component {

/// What an index of a component refers to.
enum class Sort : std::uint8_t {
  kCoreFunction,
  kCoreTable,
  kCoreMemory,
  kCoreGlobal,
  kCoreTag,
  kCoreType,
  kCoreModule,
  kCoreInstance,
  kFunction,
  kValue,
  kType,
  kComponent,
  kInstance,
};
inline constexpr std::size_t kSorts = 13;

struct Reference {
  Sort sort;
  std::uint32_t index;
};
/// An argument of an instantiation, or an export.
struct Named {
  std::string name;
  Reference item;
};

struct Component;

struct CoreModule {
  std::span<const std::byte> bytes;
};
/// A module with instances for the modules that it imports from, or, without one, an instance of `items`.
struct CoreInstance {
  std::optional<std::uint32_t> module;
  std::vector<Named> items;
};
struct NestedComponent {
  std::shared_ptr<const Component> component;
};
struct Instance {
  std::optional<std::uint32_t> component;
  std::vector<Named> items;
};
/// An export of an instance: a core one or a component's.
struct ExportAlias {
  Sort sort;
  bool is_core;
  std::uint32_t instance;
  std::string name;
};
/// An item of the component that is `outward` levels around this one.
struct OuterAlias {
  Sort sort;
  std::uint32_t outward;
  std::uint32_t index;
};
/// How many types were defined; none of them is a resource that the host gives.
struct Types {
  Sort sort;
  std::uint32_t count;
};
/// Options of a canonical definition.
struct Options {
  std::optional<std::uint32_t> memory, realloc, post_return;
  bool is_utf8 = true;
  bool is_plain = true;  ///< nothing asynchronous, no garbage collection
};
struct Lift {
  std::uint32_t core_function;
  Options options;
};
struct Lower {
  std::uint32_t function;
  Options options;
};
struct DropResource {
  std::uint32_t type;
};
/// A canonical definition that this host does not serve: its name.
struct UnservedCanonical {
  std::string name;
};
struct Import {
  std::string name;
  Sort sort;
};
struct Export {
  std::string name;
  Reference item;
};

using Definition = std::variant<CoreModule, CoreInstance, NestedComponent, Instance, ExportAlias, OuterAlias,
                                Types, Lift, Lower, DropResource, UnservedCanonical, Import, Export>;

struct Component {
  std::vector<Definition> definitions;
};

/// Whether the bytes begin as a component does, of any version of the binary format.
bool is_component(std::span<const std::byte> bytes) noexcept;

/// Reads the binary format, of which `bytes` stay in use. Errors: kInvalidEncoding, with the byte where it
/// stopped; kUnsupportedOperation for a later version of the format.
Expected<std::shared_ptr<const Component>> read_component(std::span<const std::byte> bytes);

}  // namespace wasmgrad::sandbox::component
