// A graph module's bytes taken apart: what it says about itself, its code, and its large data. Private to
// graph/.
//
// Weights need not pass through the engine's loader and compiler: they are copied into the memory once it is
// there. It must not know what metadata says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wasmgrad/base/byte_source.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::graph {

/// `size` bytes at `offset` of the module, which go to `address` of the memory before anything runs.
struct DataSegment {
  std::uint32_t address = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

struct ModuleParts {
  std::string metadata;           ///< the custom section `wasmgrad.graph`
  std::vector<std::byte> code;    ///< the module without custom sections, its large data segments emptied
  std::vector<DataSegment> data;  ///< what those segments held, of at least 64 KiB each or all
  std::uint64_t data_end = 0;     ///< the address behind all segments; 0 when data stays in the code
};

/// Of a module that imports its memory, which several instances share, all data is taken out.
///
/// Data stays in the code when the module starts by itself, or has segments other than those of an ordinary
/// linker: active, in memory 0, at constant addresses, none before the end of the one before it.
///
/// Errors: kInvalidEncoding when the bytes are not a WebAssembly module, have sections that are unknown, out
/// of order or twice, or not one such custom section; kRuntimeError when they cannot be read; kTooLarge for
/// more than 1 GiB beside the large data. What sections hold is not validated.
Expected<ModuleParts> take_apart(const ByteSource& module);

}  // namespace wasmgrad::graph
