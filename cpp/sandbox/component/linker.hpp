// Makes the definitions of a component, in their order: core modules are instantiated in an engine, imports
// meet the host's functions through their canonical ABI. It must not know what those functions do. Private to
// sandbox/.
//
// What it does not serve it refuses by name: functions that one component inside the guest calls in another
// one (they trap), asynchronous ones, resources that a guest defines, text other than UTF-8.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wasmgrad/base/component_function.hpp"
#include "wasmgrad/sandbox/component/component.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"

namespace wasmgrad::sandbox::component {

struct Scope;
struct InstanceItem;

/// A core function: one of an instance, or one that is made when a module imports it, since only then its
/// type is known.
struct LoweredFunction {
  const ComponentFunction* function;  ///< of the host
  std::optional<wasmtime::Memory> memory;
  std::optional<wasmtime::Func> realloc;
};
struct DropFunction {
  const ComponentResource* resource;  ///< null: one that nobody has
};
struct TrapFunction {
  std::string sentence;
};
using CoreFunction = std::variant<wasmtime::Func, LoweredFunction, DropFunction, TrapFunction>;

/// A function of a component: the host's, or one that core code implements.
struct LiftedFunction {
  std::optional<wasmtime::Func> function;
  std::optional<wasmtime::Func> post_return;
};
struct UnknownFunction {
  std::string name;
};
using Function = std::variant<const ComponentFunction*, LiftedFunction, UnknownFunction>;

struct TypeItem {
  const ComponentResource* resource = nullptr;
};
struct ComponentItem {
  std::shared_ptr<const Component> component;
  const Scope* around = nullptr;
};
struct CoreInstanceItem;

/// What an index of a component stands for once it is made.
using Item = std::variant<CoreFunction, wasmtime::Extern, CoreModule, std::shared_ptr<const CoreInstanceItem>,
                          Function, TypeItem, ComponentItem, std::shared_ptr<const InstanceItem>>;

struct CoreInstanceItem {
  std::optional<wasmtime::Instance> instance;
  std::map<std::string, Item, std::less<>> items;
};
struct InstanceItem {
  std::string host_interface;  ///< empty: the items are below
  std::map<std::string, Item, std::less<>> items;
};

struct Scope {
  std::array<std::vector<Item>, kSorts> spaces;
  const Scope* around = nullptr;
  std::map<std::string, Item, std::less<>> exports;
};

/// What the linker needs of the engine.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  using Find = std::function<Expected<Item>(std::string_view module, std::string_view name)>;
  /// Errors: those of a module that is not valid, or whose imports have other types; a trap of its start.
  virtual Expected<wasmtime::Instance> instantiate(const CoreModule& module, const Find& find) = 0;
  virtual std::optional<wasmtime::Extern> find_export(const wasmtime::Instance& instance,
                                                      std::string_view name) = 0;
  /// Whether a function has these core types: "iiii>i".
  virtual bool has_type(const wasmtime::Func& function, std::string_view type) = 0;
};

class Linker {
 public:
  /// `guest` names it in errors. All outlive the linker; `imports` outlives what it makes.
  Linker(Engine& engine, const ComponentImports& imports, std::string guest)
      : engine_(engine), imports_(imports), guest_(std::move(guest)) {}

  /// The exports of the component. Errors: kUnsupportedOperation for what this host does not serve,
  /// kInvalidEncoding for a component that refers to what it does not have; those of the engine.
  Expected<std::map<std::string, Item, std::less<>>> link(const std::shared_ptr<const Component>& component);

 private:
  using Arguments = std::map<std::string, Item, std::less<>>;
  struct Definer;
  Expected<std::unique_ptr<Scope>> make(const Component& component, const Scope* around,
                                        const Arguments* arguments);
  Expected<Item> make_core_instance(Scope& scope, const CoreInstance& definition);
  Expected<Item> make_instance(Scope& scope, const component::Instance& definition);
  Expected<Item> make_alias(Scope& scope, const ExportAlias& alias);
  Expected<Item> make_outer(Scope& scope, const OuterAlias& alias);
  Expected<Item> make_lift(Scope& scope, const Lift& lift);
  Expected<Item> make_lower(Scope& scope, const Lower& lower);
  Expected<Item> make_drop(Scope& scope, const DropResource& drop);
  Expected<Item> import(const Import& import, const Arguments* arguments);
  [[nodiscard]] Expected<Item> find(const Scope& scope, Sort sort, std::uint32_t index) const;
  [[nodiscard]] Expected<Item> of_host(const std::string& interface, Sort sort,
                                       const std::string& name) const;
  [[nodiscard]] Error invalid_component(const std::string& why) const;
  [[nodiscard]] Error unserved(const std::string& what) const;

  Engine& engine_;
  const ComponentImports& imports_;
  std::string guest_;
  std::uint64_t made_ = 0;
  std::vector<std::unique_ptr<Scope>> scopes_;  // of instances, which may refer to those around them
};

}  // namespace wasmgrad::sandbox::component
