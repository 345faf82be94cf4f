# Compiles C and C++ sources to WebAssembly guests, with the first tool chain that works: the system's clang with a WASI sysroot
# and C++ library, else the one in the PyPI package `ziglang`. It must not know what a guest does.
#
#   wasmgrad_add_guest(NAME SOURCES <file>... [STACK_SIZE <bytes>])
#
# makes ${PROJECT_BINARY_DIR}/guests/<NAME>.wasm and the target wasmgrad_guest_<NAME>, part of the default build. The property
# WASMGRAD_GUEST_FILE of the target is the path of the .wasm file.

# Whether `ARGN` compiles and links a C++ program for WASI.
function(_wasmgrad_wasm_compiler_works result)
  set(source "${PROJECT_BINARY_DIR}/guests/check.cpp")
  file(WRITE "${source}" "#include <cstdio>\n#include <vector>\n"
                         "int main(int argc, char**) { return std::puts(\"\") + std::vector<int>(argc)[0]; }\n")
  execute_process(
    COMMAND ${ARGN} -fno-exceptions "${source}" -o "${source}.wasm"
    RESULT_VARIABLE exit_code
    OUTPUT_QUIET ERROR_QUIET)
  if(exit_code EQUAL 0)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# Sets the cache variables WASMGRAD_WASM_CC and WASMGRAD_WASM_CXX: commands as lists.
function(_wasmgrad_find_wasm_toolchain)
  if(WASMGRAD_WASM_CC AND WASMGRAD_WASM_CXX)
    return()
  endif()
  find_program(WASMGRAD_CLANG NAMES clang)
  find_program(WASMGRAD_CLANGXX NAMES clang++)
  set(clang_cc "${WASMGRAD_CLANG}" --target=wasm32-wasi)
  set(clang_cxx "${WASMGRAD_CLANGXX}" --target=wasm32-wasi)
  # Zig compiles with the undefined-behaviour sanitizer unless told otherwise.
  set(zig_cc "${Python_EXECUTABLE}" -m ziglang cc -target wasm32-wasi -fno-sanitize=undefined)
  set(zig_cxx "${Python_EXECUTABLE}" -m ziglang c++ -target wasm32-wasi -fno-sanitize=undefined)
  foreach(toolchain clang zig)
    _wasmgrad_wasm_compiler_works(works ${${toolchain}_cxx})
    if(works)
      message(STATUS "Wasm tool chain: ${${toolchain}_cxx}")
      set(WASMGRAD_WASM_CC "${${toolchain}_cc}" CACHE STRING "C compiler for wasm32-wasi, with its arguments")
      set(WASMGRAD_WASM_CXX "${${toolchain}_cxx}" CACHE STRING "C++ compiler for wasm32-wasi, with its arguments")
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "No tool chain compiles guests to WebAssembly: install ziglang ('${Python_EXECUTABLE} -m pip install "
                      "ziglang'), or clang with lld, wasi-libc and its C++ library, or turn WASMGRAD_BUILD_GUESTS off.")
endfunction()

function(wasmgrad_add_guest name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "STACK_SIZE" "SOURCES")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "wasmgrad_add_guest(${name} SOURCES <file>... [STACK_SIZE <bytes>])")
  endif()
  if(NOT arg_STACK_SIZE)
    set(arg_STACK_SIZE 1048576)
  endif()
  _wasmgrad_find_wasm_toolchain()

  set(output "${PROJECT_BINARY_DIR}/guests/${name}.wasm")
  set(flags -O3 -Wall -Wextra -I "${PROJECT_SOURCE_DIR}/guests/sdk/include")
  set(objects)
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source OUTPUT_VARIABLE source_path)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.dir/${source}.o")
    cmake_path(GET object PARENT_PATH object_directory)
    file(MAKE_DIRECTORY "${object_directory}")
    if(source MATCHES "\\.c$")
      set(compile ${WASMGRAD_WASM_CC} -std=c17)
    else()
      set(compile ${WASMGRAD_WASM_CXX} -std=c++20 -fno-exceptions -fno-rtti)
    endif()
    add_custom_command(
      OUTPUT "${object}"
      COMMAND ${compile} ${flags} -MD -MF "${object}.d" -c "${source_path}" -o "${object}"
      DEPENDS "${source_path}"
      DEPFILE "${object}.d"
      COMMENT "Compiling guest ${name}: ${source}"
      VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  add_custom_command(
    OUTPUT "${output}"
    COMMAND ${WASMGRAD_WASM_CXX} -O3 -s ${objects} "-Wl,-z,stack-size=${arg_STACK_SIZE}" -o "${output}"
    DEPENDS ${objects}
    COMMENT "Linking guest ${name}.wasm"
    VERBATIM)
  add_custom_target(wasmgrad_guest_${name} ALL DEPENDS "${output}")
  set_target_properties(wasmgrad_guest_${name} PROPERTIES WASMGRAD_GUEST_FILE "${output}")
endfunction()
