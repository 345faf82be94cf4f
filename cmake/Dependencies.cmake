# Everything the build needs from outside. What is missing is fetched by tools/, unless WASMGRAD_FETCH_DEPS is off.
#
# Python comes first, because torch and the build tools live in it: `.venv` of the source tree, else the active interpreter. A
# `.venv` with the pinned build requirements is made when torch is nowhere.

# Runs a tool of tools/ that prints one path; stops with its error.
function(wasmgrad_fetch result tool)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/${tool}" ${ARGN}
    OUTPUT_VARIABLE output
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE exit_code)
  if(NOT exit_code EQUAL 0)
    message(FATAL_ERROR "tools/${tool} ${ARGN} failed for the reason above.")
  endif()
  set(${result} "${output}" PARENT_SCOPE)
endfunction()

set(_venv_python "${PROJECT_SOURCE_DIR}/.venv/bin/python")
if(NOT Python_EXECUTABLE AND EXISTS "${_venv_python}")
  set(Python_EXECUTABLE "${_venv_python}")
endif()
set(Python_FIND_VIRTUALENV FIRST)
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter)

if(WASMGRAD_BUILD_TORCH)
  # pyproject.toml says which torch, for the build and for the run; both must be the same.
  file(STRINGS "${PROJECT_SOURCE_DIR}/pyproject.toml" _torch_pins REGEX "\"torch==")
  list(TRANSFORM _torch_pins REPLACE ".*\"torch==([0-9.]+)\".*" "\\1")
  list(REMOVE_DUPLICATES _torch_pins)
  list(LENGTH _torch_pins _pin_count)
  if(NOT _pin_count EQUAL 1)
    message(FATAL_ERROR "pyproject.toml pins torch to more than one version: ${_torch_pins}.")
  endif()

  find_package(TorchWheel ${_torch_pins} EXACT)
  if(NOT TorchWheel_FOUND)
    if(NOT WASMGRAD_FETCH_DEPS)
      message(FATAL_ERROR "PyTorch ${_torch_pins} was not found: install torch into ${Python_EXECUTABLE}, or set TORCH_ROOT to a torch package.")
    endif()
    wasmgrad_fetch(Python_EXECUTABLE make_venv.py build)
    unset(TORCH_WHEEL_ROOT CACHE)
    find_package(TorchWheel ${_torch_pins} EXACT REQUIRED)
  endif()
endif()

if(WASMGRAD_FETCH_DEPS)
  if(WASMEDGE_ROOT)
    set(ENV{WASMEDGE_ROOT} "${WASMEDGE_ROOT}")
  endif()
  wasmgrad_fetch(WASMGRAD_WASMEDGE_PREFIX fetch.py wasmedge)
  set(WASMEDGE_ROOT "${WASMGRAD_WASMEDGE_PREFIX}")
endif()
find_package(WasmEdge 0.14 REQUIRED)

set(_header_packages nlohmann_json)
if(WASMGRAD_BUILD_TOOLS)
  list(APPEND _header_packages CLI11)
endif()
if(WASMGRAD_BUILD_TESTS)
  list(APPEND _header_packages doctest)
endif()
foreach(package IN LISTS _header_packages)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    if(NOT WASMGRAD_FETCH_DEPS)
      message(FATAL_ERROR "${package} was not found: install its development package, or turn WASMGRAD_FETCH_DEPS on.")
    endif()
    wasmgrad_fetch(_headers fetch.py headers)
    list(APPEND CMAKE_PREFIX_PATH "${_headers}/usr")
    find_package(${package} REQUIRED)
  endif()
endforeach()

if(WASMGRAD_BUILD_TOOLS)
  # Decoders of pictures; static ones first, so that programs need none where they are installed, and none can be mistaken for
  # what came with WasmEdge.
  set(_suffixes "${CMAKE_FIND_LIBRARY_SUFFIXES}")
  list(PREPEND CMAKE_FIND_LIBRARY_SUFFIXES .a)
  foreach(package PNG TurboJPEG)
    find_package(${package} QUIET)
    if(NOT ${package}_FOUND)
      if(NOT WASMGRAD_FETCH_DEPS)
        message(FATAL_ERROR "${package} was not found: install its development package, turn WASMGRAD_FETCH_DEPS on, or "
                            "turn WASMGRAD_BUILD_TOOLS off.")
      endif()
      wasmgrad_fetch(_decoders fetch.py picture-decoders)
      list(APPEND CMAKE_PREFIX_PATH "${_decoders}/usr")
      find_package(${package} REQUIRED)
    endif()
  endforeach()
  set(CMAKE_FIND_LIBRARY_SUFFIXES "${_suffixes}")
endif()

if(WASMGRAD_BUILD_PYTHON)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(sysconfig.get_path('include'))"
    OUTPUT_VARIABLE _python_headers
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  if(NOT EXISTS "${_python_headers}/Python.h" AND WASMGRAD_FETCH_DEPS)
    wasmgrad_fetch(_python_prefix fetch.py python-headers)
    cmake_path(GET _python_headers FILENAME _python_folder)
    set(Python_INCLUDE_DIR "${_python_prefix}/usr/include/${_python_folder}" CACHE PATH "Python's headers" FORCE)
    # The distribution's pyconfig.h includes the one of the architecture by a path from here.
    include_directories(SYSTEM "${_python_prefix}/usr/include")
  endif()
  find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
    OUTPUT_VARIABLE nanobind_ROOT
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  find_package(nanobind CONFIG REQUIRED)
endif()
