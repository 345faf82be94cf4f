# How every target of the project is compiled and where the build tree puts it.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF) # there are none; looking for them costs a run of the preprocessor for each file
set(CMAKE_C_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

add_compile_options(-Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # gcc 12 reports its own std::string assignment as overlapping.
  add_compile_options(-Wno-restrict)
endif()
if(WASMGRAD_WERROR)
  # gcc 12 sees std::vector::resize write out of bounds where it does not.
  add_compile_options(-Werror -Wno-error=array-bounds)
endif()
if(WASMGRAD_SANITIZE)
  # The check of dynamic types needs type information that libtorch keeps to itself.
  set(_sanitizers -fsanitize=address,undefined -fno-sanitize=vptr)
  add_compile_options(${_sanitizers} -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(${_sanitizers})
endif()
find_program(WASMGRAD_CCACHE ccache)
if(WASMGRAD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths relative to the build directory let several build directories share their objects.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_BINARY_DIR}" CCACHE_NOHASHDIR=1
                                  "${WASMGRAD_CCACHE}")
endif()
