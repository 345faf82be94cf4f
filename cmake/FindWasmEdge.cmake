# Finds WasmEdge's C library and headers.
#
# Input:   WASMEDGE_ROOT (CMake or environment variable): a prefix with include and lib, or with the library itself in it.
# Output:  imported target WasmEdge::WasmEdge, WasmEdge_VERSION (that of the headers).
find_path(WasmEdge_INCLUDE_DIR wasmedge/wasmedge.h HINTS "${WASMEDGE_ROOT}" "$ENV{WASMEDGE_ROOT}" PATH_SUFFIXES include)
find_library(WasmEdge_LIBRARY wasmedge HINTS "${WASMEDGE_ROOT}" "$ENV{WASMEDGE_ROOT}" PATH_SUFFIXES lib lib64)

set(WasmEdge_VERSION)
if(WasmEdge_INCLUDE_DIR)
  file(STRINGS "${WasmEdge_INCLUDE_DIR}/wasmedge/version.h" _line REGEX "#define WASMEDGE_VERSION \"")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" WasmEdge_VERSION "${_line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  WasmEdge
  REQUIRED_VARS WasmEdge_LIBRARY WasmEdge_INCLUDE_DIR
  VERSION_VAR WasmEdge_VERSION
  REASON_FAILURE_MESSAGE "Set WASMEDGE_ROOT to where it is installed.")
mark_as_advanced(WasmEdge_INCLUDE_DIR WasmEdge_LIBRARY)

if(WasmEdge_FOUND AND NOT TARGET WasmEdge::WasmEdge)
  add_library(WasmEdge::WasmEdge SHARED IMPORTED)
  set_target_properties(WasmEdge::WasmEdge PROPERTIES IMPORTED_LOCATION "${WasmEdge_LIBRARY}"
                                                      INTERFACE_INCLUDE_DIRECTORIES "${WasmEdge_INCLUDE_DIR}")
endif()
