#include "wasmgrad/sandbox/wasi2/preview1.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::sandbox::wasi2 {

namespace {

// Its parameters: i for i32, I for i64. All return an errno.
struct Function {
  std::string_view name;
  std::string_view parameters;
};
constexpr Function kFunctions[] = {
    {"fd_advise", "iIIi"},
    {"fd_close", "i"},
    {"fd_datasync", "i"},
    {"fd_fdstat_get", "ii"},
    {"fd_filestat_get", "ii"},
    {"fd_filestat_set_size", "iI"},
    {"fd_filestat_set_times", "iIIi"},
    {"fd_pread", "iiiIi"},
    {"fd_pwrite", "iiiIi"},
    {"fd_read", "iiii"},
    {"fd_readdir", "iiiIi"},
    {"fd_seek", "iIii"},
    {"fd_sync", "i"},
    {"fd_write", "iiii"},
    {"path_create_directory", "iii"},
    {"path_filestat_get", "iiiii"},
    {"path_filestat_set_times", "iiiiIIi"},
    {"path_link", "iiiiiii"},
    {"path_open", "iiiiiIIii"},
    {"path_readlink", "iiiiii"},
    {"path_remove_directory", "iii"},
    {"path_rename", "iiiiii"},
    {"path_symlink", "iiiii"},
    {"path_unlink_file", "iii"},
};
constexpr std::size_t kPages = 18;
static_assert(kPages * 65536 >= Preview1::kData + Preview1::kMaxData);

// Those after which the process has more or fewer files open.
bool changes_handles(std::string_view function) { return function == "path_open" || function == "fd_close"; }

using Bytes = std::vector<std::byte>;

void append(Bytes& out, std::initializer_list<int> values) {
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
}
void append(Bytes& out, std::string_view text) {
  append_number(out, text.size());
  for (const char c : text) out.push_back(static_cast<std::byte>(c));
}
void append_section(Bytes& out, int id, std::size_t count, const Bytes& items) {
  Bytes body;
  append_number(body, count);
  body.insert(body.end(), items.begin(), items.end());
  append(out, {id});
  append_number(out, body.size());
  out.insert(out.end(), body.begin(), body.end());
}

// A module that exports its memory and, for each function, one that calls the import of the same name: WASI
// works on the memory of the module that calls it.
Bytes make_module() {
  Bytes types, imports, functions, exports, code;
  const std::size_t count = std::size(kFunctions);
  append(exports, "memory");
  append(exports, {2, 0});
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [name, parameters] = kFunctions[i];
    append(types, {0x60});
    append_number(types, parameters.size());
    for (const char type : parameters) append(types, {type == 'I' ? 0x7e : 0x7f});
    append(types, {1, 0x7f});
    append(imports, kWasiModule);
    append(imports, name);
    append(imports, {0});
    append_number(imports, i);
    append_number(functions, i);
    append(exports, name);
    append(exports, {0});
    append_number(exports, count + i);
    Bytes body;
    append(body, {0});
    for (std::size_t p = 0; p < parameters.size(); ++p) append(body, {0x20, static_cast<int>(p)});
    append(body, {0x10});
    append_number(body, i);
    append(body, {0x0b});
    append_number(code, body.size());
    code.insert(code.end(), body.begin(), body.end());
  }
  Bytes module;
  append(module, {0, 'a', 's', 'm', 1, 0, 0, 0});
  append_section(module, 1, count, types);
  append_section(module, 2, count, imports);
  append_section(module, 3, count, functions);
  Bytes memory;
  append(memory, {1});
  append_number(memory, kPages);
  append_number(memory, kPages);
  append_section(module, 5, 1, memory);
  append_section(module, 7, count + 1, exports);
  append_section(module, 10, count, code);
  return module;
}

}  // namespace

Expected<std::unique_ptr<Preview1>> Preview1::create(const SandboxConfig& guest) {
  SandboxConfig config;
  config.engine = EngineKind::kWasmtime;
  config.wasmtime_library = guest.wasmtime_library;
  config.module = make_module();
  config.name = guest.name;
  config.preopens = guest.preopens;
  config.max_memory_pages = kPages;
  WASMGRAD_ASSIGN(auto instance, make_wasmtime_instance(std::move(config)));
  std::unique_ptr<Preview1> made(new Preview1(std::move(instance), guest));
  // The engine opens files of its own for the first call that may wait: before any is counted.
  WASMGRAD_CHECK(made->call("fd_sync", {1}));
  return made;
}

Expected<Errno> Preview1::call(std::string_view name, std::initializer_list<std::uint64_t> arguments) {
  const auto* function = std::ranges::find(kFunctions, name, &Function::name);
  Signature signature({}, {ValueType::kI32});
  std::vector<Value> values;
  for (const std::uint64_t argument : arguments) {
    const bool wide = function->parameters[values.size()] == 'I';
    signature.parameters.emplace_back(wide ? ValueType::kI64 : ValueType::kI32);
    Value value{.i64 = argument};
    if (!wide) value.i32 = static_cast<std::uint32_t>(argument);
    values.push_back(value);
  }
  const bool counted = changes_handles(name);
  if (counted) handles_.enter_guest();
  const auto result = instance_->call(std::string(name), signature, values);
  if (counted) handles_.leave_guest();
  if (!result) return result.error();
  return static_cast<Errno>((*result)[0].i32);
}

std::span<std::byte> Preview1::bytes(std::uint32_t address, std::size_t size) {
  return *instance_->memory().writable_bytes(address, size, "memory of WASI");
}

}  // namespace wasmgrad::sandbox::wasi2
