// Owning handles of the WasmEdge C API, and the one configuration that guests run under. Private to sandbox/.
#pragma once

#include <wasmedge/wasmedge.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace wasmgrad::sandbox {

template <auto Delete>
struct Deleter {
  template <class T>
  void operator()(T* handle) const noexcept {
    Delete(handle);
  }
};

using Configure = std::unique_ptr<WasmEdge_ConfigureContext, Deleter<WasmEdge_ConfigureDelete>>;
using Loader = std::unique_ptr<WasmEdge_LoaderContext, Deleter<WasmEdge_LoaderDelete>>;
using Validator = std::unique_ptr<WasmEdge_ValidatorContext, Deleter<WasmEdge_ValidatorDelete>>;
using Compiler = std::unique_ptr<WasmEdge_CompilerContext, Deleter<WasmEdge_CompilerDelete>>;
using Executor = std::unique_ptr<WasmEdge_ExecutorContext, Deleter<WasmEdge_ExecutorDelete>>;
using Store = std::unique_ptr<WasmEdge_StoreContext, Deleter<WasmEdge_StoreDelete>>;
using AstModule = std::unique_ptr<WasmEdge_ASTModuleContext, Deleter<WasmEdge_ASTModuleDelete>>;
using ModuleInstance =
    std::unique_ptr<WasmEdge_ModuleInstanceContext, Deleter<WasmEdge_ModuleInstanceDelete>>;
using FunctionType = std::unique_ptr<WasmEdge_FunctionTypeContext, Deleter<WasmEdge_FunctionTypeDelete>>;

/// Borrows the text: valid as long as it is.
inline WasmEdge_String wrap(std::string_view text) {
  return WasmEdge_StringWrap(text.data(), static_cast<std::uint32_t>(text.size()));
}
inline std::string_view view(WasmEdge_String text) { return {text.Buf, text.Length}; }

/// WebAssembly 2.0 (with SIMD) and extended constant expressions; every later proposal off, whatever the
/// engine's default is.
Configure make_configure(std::uint32_t max_memory_pages, bool interpret);

}  // namespace wasmgrad::sandbox
