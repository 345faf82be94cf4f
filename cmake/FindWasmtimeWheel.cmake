# Finds the shared library of wasmtime's C API inside the wasmtime wheel of a Python installation, without importing it.
#
# Input:   WASMGRAD_WASMTIME (CMake or environment variable): the library. Else the Python that CMake found.
# Output:  WASMTIME_LIBRARY
set(_wasmtime "${WASMGRAD_WASMTIME}")
if(NOT _wasmtime)
  set(_wasmtime "$ENV{WASMGRAD_WASMTIME}")
endif()
if(NOT _wasmtime)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u, platform as p; s = u.find_spec('wasmtime'); print(f'{s.submodule_search_locations[0]}/linux-{p.machine()}/_libwasmtime.so' if s else '')"
    OUTPUT_VARIABLE _wasmtime
    OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()

include(FindPackageHandleStandardArgs)
if(EXISTS "${_wasmtime}")
  set(WASMTIME_LIBRARY "${_wasmtime}")
endif()
find_package_handle_standard_args(
  WasmtimeWheel
  REQUIRED_VARS WASMTIME_LIBRARY
  REASON_FAILURE_MESSAGE "install wasmtime into ${Python_EXECUTABLE}, or set WASMGRAD_WASMTIME to its shared library")
