#include "wasmgrad/sandbox/component/linker.hpp"

#include <algorithm>
#include <utility>

#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::sandbox::component {

namespace {

namespace wt = wasmtime;

// Components that hold each other several times would take time and memory without end.
constexpr std::uint64_t kMaxDefinitions = 1'000'000;
// There are none of these, and nothing else of WASI that guests only link with.
constexpr std::string_view kSockets = "wasi:sockets/";

// "wasi:io/streams" of "wasi:io/streams@0.2.9": versions of one minor number serve each other.
struct Versioned {
  std::string interface;
  std::string version;
};
Versioned split(const std::string& name) {
  const std::size_t at = name.find('@');
  return {name.substr(0, at), at == std::string::npos ? "" : name.substr(at + 1)};
}

bool serves_version(const Versioned& wanted) {
  const bool is_wasi = wanted.interface.starts_with("wasi:");
  return wanted.version.starts_with(is_wasi ? "0.2." : "0.1.");
}

template <class T>
const T* get(const Expected<Item>& item) {
  return item ? std::get_if<T>(&*item) : nullptr;
}

const wt::Func* plain_function(const Expected<Item>& item) {
  const auto* function = get<CoreFunction>(item);
  return function != nullptr ? std::get_if<wt::Func>(function) : nullptr;
}

}  // namespace

Error Linker::invalid_component(const std::string& why) const {
  return {Errc::kInvalidEncoding, "guest '" + guest_ + "' is not a valid component: " + printable(why)};
}

Error Linker::unserved(const std::string& what) const {
  return {Errc::kUnsupportedOperation, "guest '" + guest_ + "' " + printable(what)};
}

Expected<std::map<std::string, Item, std::less<>>> Linker::link(
    const std::shared_ptr<const Component>& component) {
  WASMGRAD_ASSIGN(const auto scope, make(*component, nullptr, nullptr));
  return std::move(scope->exports);
}

// One overload for each kind of definition: makes it, and gives it the next index of its sort.
struct Linker::Definer {
  Linker& self;
  Scope& scope;
  const Arguments* arguments;

  Status add(Sort sort, const Expected<Item>& item) const {
    if (!item) return item.error();
    scope.spaces[static_cast<std::size_t>(sort)].push_back(*item);
    return {};
  }
  Status operator()(const CoreModule& module) const { return add(Sort::kCoreModule, Item(module)); }
  Status operator()(const CoreInstance& instance) const {
    return add(Sort::kCoreInstance, self.make_core_instance(scope, instance));
  }
  Status operator()(const NestedComponent& nested) const {
    return add(Sort::kComponent, Item(ComponentItem{nested.component, &scope}));
  }
  Status operator()(const component::Instance& instance) const {
    return add(Sort::kInstance, self.make_instance(scope, instance));
  }
  Status operator()(const ExportAlias& alias) const { return add(alias.sort, self.make_alias(scope, alias)); }
  Status operator()(const OuterAlias& alias) const { return add(alias.sort, self.make_outer(scope, alias)); }
  Status operator()(const Types& types) const { return add(types.sort, Item(TypeItem{})); }
  Status operator()(const Lift& lift) const { return add(Sort::kFunction, self.make_lift(scope, lift)); }
  Status operator()(const Lower& lower) const {
    return add(Sort::kCoreFunction, self.make_lower(scope, lower));
  }
  Status operator()(const DropResource& drop) const {
    return add(Sort::kCoreFunction, self.make_drop(scope, drop));
  }
  Status operator()(const UnservedCanonical& canonical) const {
    return add(Sort::kCoreFunction,
               Item(CoreFunction(TrapFunction{"the guest defines resources (" + canonical.name +
                                              "), which this host does not serve"})));
  }
  Status operator()(const Import& import) const { return add(import.sort, self.import(import, arguments)); }
  Status operator()(const Export& exported) const {
    const auto item = self.find(scope, exported.item.sort, exported.item.index);
    if (!item) return item.error();
    scope.exports.insert_or_assign(exported.name, *item);
    return add(exported.item.sort, item);
  }
};

Expected<std::unique_ptr<Scope>> Linker::make(const Component& component, const Scope* around,
                                              const Arguments* arguments) {
  auto scope = std::make_unique<Scope>();
  scope->around = around;
  for (const Definition& definition : component.definitions) {
    if (++made_ > kMaxDefinitions)
      return Error{Errc::kTooLarge, "guest '" + guest_ + "' makes more than " +
                                        std::to_string(kMaxDefinitions) + " definitions"};
    WASMGRAD_CHECK(std::visit(Definer{*this, *scope, arguments}, definition));
  }
  return scope;
}

Expected<Item> Linker::find(const Scope& scope, Sort sort, std::uint32_t index) const {
  const auto& space = scope.spaces[static_cast<std::size_t>(sort)];
  if (index < space.size()) return space[index];
  return invalid_component("it refers to item " + std::to_string(index) + " of " +
                           std::to_string(space.size()));
}

Expected<Item> Linker::make_core_instance(Scope& scope, const CoreInstance& definition) {
  auto made = std::make_shared<CoreInstanceItem>();
  for (const auto& [name, reference] : definition.items) {
    WASMGRAD_ASSIGN(Item item, find(scope, reference.sort, reference.index));
    made->items.insert_or_assign(name, std::move(item));
  }
  if (!definition.module) return Item(std::shared_ptr<const CoreInstanceItem>(std::move(made)));
  const auto module = find(scope, Sort::kCoreModule, *definition.module);
  const auto* code = get<CoreModule>(module);
  if (code == nullptr) return module ? Expected<Item>(invalid_component("a module is no module")) : module;
  const auto import = [&](std::string_view from, std::string_view name) -> Expected<Item> {
    const auto found = made->items.find(from);
    const auto* given = found != made->items.end()
                            ? std::get_if<std::shared_ptr<const CoreInstanceItem>>(&found->second)
                            : nullptr;
    if (given != nullptr && (*given)->instance) {
      const auto item = engine_.find_export(*(*given)->instance, name);
      if (item && item->kind == wt::kExternFunc) return Item(CoreFunction(item->of.func));
      if (item) return Item(*item);
    } else if (given != nullptr) {
      const auto item = (*given)->items.find(name);
      if (item != (*given)->items.end()) return item->second;
    }
    return invalid_component("a core module imports " + std::string(from) + "." + std::string(name) +
                             ", which it is not given");
  };
  auto instance = std::make_shared<CoreInstanceItem>();
  WASMGRAD_ASSIGN(instance->instance, engine_.instantiate(*code, import));
  return Item(std::shared_ptr<const CoreInstanceItem>(std::move(instance)));
}

Expected<Item> Linker::make_instance(Scope& scope, const component::Instance& definition) {
  Arguments items;
  for (const auto& [name, reference] : definition.items) {
    WASMGRAD_ASSIGN(Item item, find(scope, reference.sort, reference.index));
    items.insert_or_assign(name, std::move(item));
  }
  auto made = std::make_shared<InstanceItem>();
  if (!definition.component) {
    made->items = std::move(items);
    return Item(std::shared_ptr<const InstanceItem>(std::move(made)));
  }
  const auto found = find(scope, Sort::kComponent, *definition.component);
  const auto* nested = get<ComponentItem>(found);
  if (nested == nullptr)
    return found ? Expected<Item>(unserved("imports a component, which this host does not provide")) : found;
  WASMGRAD_ASSIGN(auto inner, make(*nested->component, nested->around, &items));
  made->items = inner->exports;
  scopes_.push_back(std::move(inner));
  return Item(std::shared_ptr<const InstanceItem>(std::move(made)));
}

Expected<Item> Linker::make_alias(Scope& scope, const ExportAlias& alias) {
  const auto missing = [&] { return invalid_component("an instance does not export '" + alias.name + "'"); };
  if (alias.is_core) {
    const auto found = find(scope, Sort::kCoreInstance, alias.instance);
    const auto* instance = get<std::shared_ptr<const CoreInstanceItem>>(found);
    if (instance == nullptr) return found ? Expected<Item>(missing()) : found;
    if (!(*instance)->instance) {
      const auto item = (*instance)->items.find(alias.name);
      return item != (*instance)->items.end() ? Expected<Item>(item->second) : missing();
    }
    const auto item = engine_.find_export(*(*instance)->instance, alias.name);
    if (!item) return missing();
    return item->kind == wt::kExternFunc ? Item(CoreFunction(item->of.func)) : Item(*item);
  }
  const auto found = find(scope, Sort::kInstance, alias.instance);
  const auto* instance = get<std::shared_ptr<const InstanceItem>>(found);
  if (instance == nullptr) return found ? Expected<Item>(missing()) : found;
  if (!(*instance)->host_interface.empty())
    return of_host((*instance)->host_interface, alias.sort, alias.name);
  const auto item = (*instance)->items.find(alias.name);
  return item != (*instance)->items.end() ? Expected<Item>(item->second) : missing();
}

Expected<Item> Linker::of_host(const std::string& interface, Sort sort, const std::string& name) const {
  const auto is_it = [&](const auto& given) { return given.interface == interface && given.name == name; };
  if (sort == Sort::kFunction) {
    const auto found = std::ranges::find_if(imports_.functions, is_it);
    if (found != imports_.functions.end()) return Item(Function(&*found));
    return Item(Function(UnknownFunction{interface + "." + name}));
  }
  if (sort != Sort::kType)
    return unserved("imports " + interface + "." + name + ", which this host does not provide");
  // An interface that uses another one's resource names it as well.
  const auto by_name = [&](const auto& given) { return given.name == name; };
  auto found = std::ranges::find_if(imports_.resources, is_it);
  if (found == imports_.resources.end()) found = std::ranges::find_if(imports_.resources, by_name);
  return Item(TypeItem{found != imports_.resources.end() ? &*found : nullptr});
}

Expected<Item> Linker::make_outer(Scope& scope, const OuterAlias& alias) {
  const Scope* around = &scope;
  for (std::uint32_t level = 0; level < alias.outward && around != nullptr; ++level) around = around->around;
  if (around == nullptr) return invalid_component("an alias points out of it");
  return find(*around, alias.sort, alias.index);
}

Expected<Item> Linker::make_lift(Scope& scope, const Lift& lift) {
  const auto core = find(scope, Sort::kCoreFunction, lift.core_function);
  if (!core) return core.error();
  LiftedFunction lifted;
  if (const wt::Func* function = plain_function(core); function != nullptr && lift.options.is_plain)
    lifted.function = *function;
  if (lift.options.post_return) {
    const auto post = find(scope, Sort::kCoreFunction, *lift.options.post_return);
    if (!post) return post.error();
    if (const wt::Func* function = plain_function(post)) lifted.post_return = *function;
  }
  return Item(Function(lifted));
}

Expected<Item> Linker::make_lower(Scope& scope, const Lower& lower) {
  const auto found = find(scope, Sort::kFunction, lower.function);
  const auto* function = get<Function>(found);
  if (function == nullptr)
    return found ? Expected<Item>(invalid_component("what it lowers is no function")) : found;
  if (!lower.options.is_utf8) return unserved("passes text that is not UTF-8, which this host does not read");
  if (!lower.options.is_plain)
    return unserved("imports functions asynchronously, which this host does not serve");
  if (const auto* unknown = std::get_if<UnknownFunction>(function)) {
    if (!unknown->name.starts_with(kSockets))
      return unserved("imports " + unknown->name + ", which this host does not provide");
    return Item(
        CoreFunction(TrapFunction{"the guest called " + unknown->name + "; this host has no sockets"}));
  }
  if (std::holds_alternative<LiftedFunction>(*function)) {
    return Item(CoreFunction(TrapFunction{
        "one component of the guest called a function of another one, which this host does not serve"}));
  }
  LoweredFunction lowered{std::get<const ComponentFunction*>(*function), std::nullopt, std::nullopt};
  if (lower.options.memory) {
    const auto memory = find(scope, Sort::kCoreMemory, *lower.options.memory);
    const auto* item = get<wt::Extern>(memory);
    if (item == nullptr || item->kind != wt::kExternMemory) return invalid_component("a memory is no memory");
    lowered.memory = item->of.memory;
  }
  if (lower.options.realloc) {
    const auto realloc = find(scope, Sort::kCoreFunction, *lower.options.realloc);
    const wt::Func* core = plain_function(realloc);
    if (core == nullptr || !engine_.has_type(*core, "iiii>i"))
      return invalid_component("an allocator has not the type of one");
    lowered.realloc = *core;
  }
  return Item(CoreFunction(lowered));
}

Expected<Item> Linker::make_drop(Scope& scope, const DropResource& drop) {
  const auto found = find(scope, Sort::kType, drop.type);
  const auto* type = get<TypeItem>(found);
  if (type == nullptr) return found ? Expected<Item>(invalid_component("a type is no type")) : found;
  return Item(CoreFunction(DropFunction{type->resource}));
}

Expected<Item> Linker::import(const Import& import, const Arguments* arguments) {
  if (arguments != nullptr) {
    const auto given = arguments->find(import.name);
    if (given != arguments->end()) return given->second;
    if (import.sort == Sort::kType) return Item(TypeItem{});
    return invalid_component("a component inside it is not given '" + import.name + "'");
  }
  if (import.sort == Sort::kType) return Item(TypeItem{});
  const Versioned wanted = split(import.name);
  const auto is_of = [&](const auto& given) { return given.interface == wanted.interface; };
  const bool known = std::ranges::any_of(imports_.functions, is_of) ||
                     std::ranges::any_of(imports_.resources, is_of) || wanted.interface.starts_with(kSockets);
  if (import.sort != Sort::kInstance || !known || !serves_version(wanted))
    return unserved("imports " + import.name + ", which this host does not provide");
  return Item(std::make_shared<const InstanceItem>(InstanceItem{wanted.interface, {}}));
}

}  // namespace wasmgrad::sandbox::component
