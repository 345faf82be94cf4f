// A graph module as a file, read and checked before any engine sees it. It must not know an engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wasmgrad/base/byte_source.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/graph/metadata.hpp"
#include "wasmgrad/graph/module_parts.hpp"

namespace wasmgrad::graph {

struct GraphFile {
  Metadata metadata;
  std::uint32_t pages = 0;        ///< of its memory, of 64 KiB, whose size is fixed
  std::vector<std::byte> code;    ///< the module without custom sections, its large data segments emptied
  std::vector<DataSegment> data;  ///< what those segments held, all of it inside the memory
};

/// A module for several threads imports its memory, which is shared, as `env` `memory`; any other has its
/// own.
///
/// Errors: as take_apart() and Metadata::from_json(); kInvalidEncoding for other imports, exports that are
/// missing or of another kind, a memory that can grow, and metadata or data for more memory than there is.
/// Code and the signatures of functions are left to the engine.
Expected<GraphFile> read_graph_file(const ByteSource& module);

}  // namespace wasmgrad::graph
