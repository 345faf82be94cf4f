# Compiles C and C++ sources to WebAssembly, with the first tool chain that works: the system's clang with a WASI sysroot and
# C++ library, else the one in the PyPI package `ziglang`. It must not know what a guest or a library does.
#
#   wasmgrad_add_guest(NAME SOURCES <file>... [STACK_SIZE <bytes>])
#
# makes ${PROJECT_BINARY_DIR}/guests/<NAME>.wasm and the target wasmgrad_guest_<NAME>, part of the default build. The property
# WASMGRAD_GUEST_FILE of the target is the path of the .wasm file.
#
#   wasmgrad_add_rust_guest(NAME DIRECTORY <dir>)
#   wasmgrad_add_assemblyscript_guest(NAME DIRECTORY <dir> SOURCES <file>...)
#
# do the same with the Cargo package of that name in a directory, and with AssemblyScript files there, the first of which starts.
# They are left out where there is no tool chain for the language, unless WASMGRAD_REQUIRE_GUEST_LANGUAGES is on: then that is an
# error.
#
#   wasmgrad_add_wasm_library(NAME OUTPUT <file> SOURCES <file>... [OPTIONS <compiler option>...])
#
# makes the static library <file> and the target wasmgrad_wasm_<NAME>, part of the default build.
#
#   wasmgrad_copy_wasm_libc(DIRECTORY)
#
# puts the tool chain's C library (with libm) and compiler built-ins there, as libc.a and libbuiltins.a: with them, code is
# linked where only a linker is installed.

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

# Sets the cache variables WASMGRAD_WASM_CC, WASMGRAD_WASM_CXX and WASMGRAD_WASM_AR: commands as lists.
function(_wasmgrad_find_wasm_toolchain)
  if(WASMGRAD_WASM_CC AND WASMGRAD_WASM_CXX AND WASMGRAD_WASM_AR)
    return()
  endif()
  find_program(WASMGRAD_CLANG NAMES clang)
  find_program(WASMGRAD_CLANGXX NAMES clang++)
  set(clang_cc "${WASMGRAD_CLANG}" --target=wasm32-wasi)
  set(clang_cxx "${WASMGRAD_CLANGXX}" --target=wasm32-wasi)
  # llvm-ar lies beside clang even where the distribution puts a version into its name.
  execute_process(
    COMMAND "${WASMGRAD_CLANG}" -print-prog-name=llvm-ar
    OUTPUT_VARIABLE clang_ar
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  # Zig compiles with the undefined-behaviour sanitizer unless told otherwise.
  set(zig_cc "${Python_EXECUTABLE}" -m ziglang cc -target wasm32-wasi -fno-sanitize=undefined)
  set(zig_cxx "${Python_EXECUTABLE}" -m ziglang c++ -target wasm32-wasi -fno-sanitize=undefined)
  set(zig_ar "${Python_EXECUTABLE}" -m ziglang ar)
  foreach(toolchain clang zig)
    _wasmgrad_wasm_compiler_works(works ${${toolchain}_cxx})
    if(works)
      message(STATUS "Wasm tool chain: ${${toolchain}_cxx}")
      set(WASMGRAD_WASM_CC "${${toolchain}_cc}" CACHE STRING "C compiler for wasm32-wasi, with its arguments")
      set(WASMGRAD_WASM_CXX "${${toolchain}_cxx}" CACHE STRING "C++ compiler for wasm32-wasi, with its arguments")
      set(WASMGRAD_WASM_AR "${${toolchain}_ar}" CACHE STRING "Archiver for wasm32 objects, with its arguments")
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "No tool chain compiles guests to WebAssembly: install ziglang ('${Python_EXECUTABLE} -m pip install "
                      "ziglang'), or clang with lld, wasi-libc and its C++ library, or turn WASMGRAD_BUILD_GUESTS off.")
endfunction()

# Adds the commands that compile sources to objects in `directory`, and sets `result` to the list of objects.
function(_wasmgrad_compile_wasm result directory)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "SOURCES;OPTIONS")
  set(objects)
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source OUTPUT_VARIABLE source_path)
    set(object "${directory}/${source}.o")
    cmake_path(GET object PARENT_PATH object_directory)
    file(MAKE_DIRECTORY "${object_directory}")
    if(source MATCHES "\\.c$")
      set(compile ${WASMGRAD_WASM_CC} -std=c17)
    else()
      set(compile ${WASMGRAD_WASM_CXX} -std=c++20 -fno-exceptions -fno-rtti)
    endif()
    cmake_path(RELATIVE_PATH object BASE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}" OUTPUT_VARIABLE shown)
    add_custom_command(
      OUTPUT "${object}"
      COMMAND ${compile} -O3 -Wall -Wextra ${arg_OPTIONS} -MD -MF "${object}.d" -c "${source_path}" -o "${object}"
      DEPENDS "${source_path}"
      DEPFILE "${object}.d"
      COMMENT "Compiling to WebAssembly: ${shown}"
      VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set(${result} "${objects}" PARENT_SCOPE)
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
  _wasmgrad_compile_wasm(objects "${CMAKE_CURRENT_BINARY_DIR}/${name}.dir" SOURCES ${arg_SOURCES} OPTIONS
                         -I "${PROJECT_SOURCE_DIR}/guests/sdk/include")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND ${WASMGRAD_WASM_CXX} -O3 -s ${objects} "-Wl,-z,stack-size=${arg_STACK_SIZE}" -o "${output}"
    DEPENDS ${objects}
    COMMENT "Linking guest ${name}.wasm"
    VERBATIM)
  add_custom_target(wasmgrad_guest_${name} ALL DEPENDS "${output}")
  set_target_properties(wasmgrad_guest_${name} PROPERTIES WASMGRAD_GUEST_FILE "${output}")
endfunction()

# Says that guests in `language` cannot be built, and what to install.
function(_wasmgrad_no_tool_chain language advice)
  if(WASMGRAD_REQUIRE_GUEST_LANGUAGES)
    message(FATAL_ERROR "No tool chain compiles ${language} guests: ${advice}, or turn WASMGRAD_REQUIRE_GUEST_LANGUAGES off.")
  endif()
  message(STATUS "${language} guests are left out: ${advice}")
endfunction()

# Sets the cache variables WASMGRAD_RUSTC (which has its cargo beside it), WASMGRAD_RUST_TARGET and WASMGRAD_RUST_LINKER to the
# first rustc on the path that has the standard library for WASI.
function(_wasmgrad_find_rust)
  if(WASMGRAD_RUSTC)
    return()
  endif()
  find_program(WASMGRAD_RUST_LINKER NAMES rust-lld wasm-ld)
  string(REPLACE ":" ";" directories "$ENV{PATH}")
  foreach(directory IN LISTS directories)
    if(NOT WASMGRAD_RUST_LINKER OR NOT EXISTS "${directory}/rustc" OR NOT EXISTS "${directory}/cargo")
      continue()
    endif()
    foreach(target wasm32-wasip1 wasm32-wasi)
      execute_process(
        COMMAND "${directory}/rustc" --print target-libdir --target ${target}
        OUTPUT_VARIABLE library
        OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      if(library AND EXISTS "${library}")
        message(STATUS "Rust tool chain: ${directory}/rustc --target ${target}")
        set(WASMGRAD_RUSTC "${directory}/rustc" CACHE FILEPATH "Rust compiler with the standard library for WASI")
        set(WASMGRAD_RUST_TARGET "${target}" CACHE STRING "Its name for WASI")
        return()
      endif()
    endforeach()
  endforeach()
endfunction()

# The target of a guest that was compiled to `file`.
function(_wasmgrad_add_guest_target name file)
  set(output "${PROJECT_BINARY_DIR}/guests/${name}.wasm")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" -E copy "${file}" "${output}"
    DEPENDS "${file}"
    VERBATIM)
  add_custom_target(wasmgrad_guest_${name} ALL DEPENDS "${output}")
  set_target_properties(wasmgrad_guest_${name} PROPERTIES WASMGRAD_GUEST_FILE "${output}")
endfunction()

function(wasmgrad_add_rust_guest name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "DIRECTORY" "")
  _wasmgrad_find_rust()
  if(NOT WASMGRAD_RUSTC)
    _wasmgrad_no_tool_chain(Rust "install cargo and rustc with the standard library for wasm32-wasi, and lld (on Debian: cargo, "
                            "rustc, libstd-rust-dev-wasm32 and lld)")
    return()
  endif()
  cmake_path(ABSOLUTE_PATH arg_DIRECTORY)
  cmake_path(GET WASMGRAD_RUSTC PARENT_PATH rust_directory)
  string(TOUPPER "CARGO_TARGET_${WASMGRAD_RUST_TARGET}_LINKER" linker)
  string(REPLACE "-" "_" linker "${linker}")
  set(target_directory "${CMAKE_CURRENT_BINARY_DIR}/cargo")
  set(built "${target_directory}/${WASMGRAD_RUST_TARGET}/release/${name}")
  add_custom_command(
    OUTPUT "${built}.wasm"
    COMMAND "${CMAKE_COMMAND}" -E env "RUSTC=${WASMGRAD_RUSTC}" "${linker}=${WASMGRAD_RUST_LINKER}" "${rust_directory}/cargo"
            build --quiet --release --offline --locked --target ${WASMGRAD_RUST_TARGET} --target-dir "${target_directory}"
            --manifest-path "${arg_DIRECTORY}/Cargo.toml"
    DEPENDS "${arg_DIRECTORY}/Cargo.toml"
    DEPFILE "${built}.d"
    COMMENT "Compiling guest ${name}.wasm with cargo"
    VERBATIM)
  _wasmgrad_add_guest_target(${name} "${built}.wasm")
endfunction()

function(wasmgrad_add_assemblyscript_guest name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "DIRECTORY" "SOURCES")
  find_program(WASMGRAD_ASC NAMES asc)
  if(NOT WASMGRAD_ASC)
    _wasmgrad_no_tool_chain(AssemblyScript "install Node.js and its package assemblyscript, so that asc is on the path")
    return()
  endif()
  cmake_path(ABSOLUTE_PATH arg_DIRECTORY)
  set(sdk "${PROJECT_SOURCE_DIR}/guests/sdk/assemblyscript")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/${name}.dir/main.wasm")
  list(GET arg_SOURCES 0 main)
  list(TRANSFORM arg_SOURCES PREPEND "${arg_DIRECTORY}/")
  foreach(module IN ITEMS dataset index model options result sys tensor trainer wasi)
    list(APPEND arg_SOURCES "${sdk}/wasmgrad/${module}.ts")
  endforeach()
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${WASMGRAD_ASC}" ${main} -O3 --path "${sdk}" --exportStart _start --use abort=~lib/wasmgrad/wasi/abort
            --outFile "${output}"
    DEPENDS ${arg_SOURCES}
    WORKING_DIRECTORY "${arg_DIRECTORY}"
    COMMENT "Compiling guest ${name}.wasm with asc"
    VERBATIM)
  _wasmgrad_add_guest_target(${name} "${output}")
endfunction()

function(wasmgrad_add_wasm_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUTPUT" "SOURCES;OPTIONS")
  if(NOT arg_SOURCES OR NOT arg_OUTPUT OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "wasmgrad_add_wasm_library(${name} OUTPUT <file> SOURCES <file>... [OPTIONS <option>...])")
  endif()
  _wasmgrad_find_wasm_toolchain()
  _wasmgrad_compile_wasm(objects "${CMAKE_CURRENT_BINARY_DIR}/${name}.dir" SOURCES ${arg_SOURCES} OPTIONS ${arg_OPTIONS})
  cmake_path(GET arg_OUTPUT PARENT_PATH output_directory)
  file(MAKE_DIRECTORY "${output_directory}")
  add_custom_command(
    OUTPUT "${arg_OUTPUT}"
    # An archiver would keep the objects of sources that are gone.
    COMMAND "${CMAKE_COMMAND}" -E rm -f "${arg_OUTPUT}"
    COMMAND ${WASMGRAD_WASM_AR} rcs "${arg_OUTPUT}" ${objects}
    DEPENDS ${objects}
    COMMENT "Archiving ${name}"
    VERBATIM)
  add_custom_target(wasmgrad_wasm_${name} ALL DEPENDS "${arg_OUTPUT}")
endfunction()

# Sets `libc` and `builtins` to the paths of the tool chain's archives.
function(_wasmgrad_locate_wasm_libc libc builtins)
  if(NOT WASMGRAD_WASM_CC MATCHES "zig")
    foreach(option IN ITEMS -print-file-name=libc.a -print-libgcc-file-name)
      execute_process(
        COMMAND ${WASMGRAD_WASM_CC} ${option}
        OUTPUT_VARIABLE path
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
      list(APPEND archives "${path}")
    endforeach()
  else()
    # Zig builds its libraries at the first link that needs them and tells in which places of its cache they are.
    set(source "${PROJECT_BINARY_DIR}/guests/libc.c")
    file(WRITE "${source}" "int main(void) { return 0; }\n")
    execute_process(
      COMMAND "${CMAKE_COMMAND}" -E env ZIG_VERBOSE_LINK=1 ${WASMGRAD_WASM_CC} -O3 "${source}" -o "${source}.wasm"
      ERROR_VARIABLE link COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "[^ \n]+\\.a" archives "${link}")
  endif()
  set(builtins_archive "${archives}")
  list(FILTER builtins_archive INCLUDE REGEX "builtins|compiler_rt")
  list(REMOVE_ITEM archives ${builtins_archive})
  foreach(archive IN LISTS archives builtins_archive)
    if(NOT EXISTS "${archive}")
      message(FATAL_ERROR "The wasm tool chain (${WASMGRAD_WASM_CC}) names a library that is not there: ${archive}")
    endif()
  endforeach()
  if(NOT archives OR NOT builtins_archive)
    message(FATAL_ERROR "The wasm tool chain (${WASMGRAD_WASM_CC}) does not tell where its C library is.")
  endif()
  set(${libc} "${archives}" PARENT_SCOPE)
  set(${builtins} "${builtins_archive}" PARENT_SCOPE)
endfunction()

function(wasmgrad_copy_wasm_libc directory)
  if(EXISTS "${directory}/libc.a" AND EXISTS "${directory}/libbuiltins.a")
    return()
  endif()
  _wasmgrad_find_wasm_toolchain()
  _wasmgrad_locate_wasm_libc(libc builtins)
  file(MAKE_DIRECTORY "${directory}")
  file(COPY_FILE "${builtins}" "${directory}/libbuiltins.a")
  # A C library may come in parts; one archive is made of them, under its name only when it is whole.
  file(REMOVE "${directory}/libc.a.part")
  execute_process(COMMAND ${WASMGRAD_WASM_AR} qcsL "${directory}/libc.a.part" ${libc} COMMAND_ERROR_IS_FATAL ANY)
  file(RENAME "${directory}/libc.a.part" "${directory}/libc.a")
endfunction()
