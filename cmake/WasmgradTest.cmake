# C++ unit tests: one doctest executable a folder, one ctest entry an executable.
#
#   wasmgrad_add_test(NAME SOURCES <file>... [LIBS <target>...] [ENV <NAME=VALUE>...])
find_package(doctest REQUIRED)

function(wasmgrad_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS;ENV")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "wasmgrad_add_test(${name} SOURCES <file>... [LIBS <target>...] [ENV <NAME=VALUE>...])")
  endif()
  add_executable(${name} ${arg_SOURCES} "${PROJECT_SOURCE_DIR}/tests/cpp/main.cpp")
  target_link_libraries(${name} PRIVATE ${arg_LIBS} doctest::doctest)
  # What is measured or tested lies in the libraries; optimising the tests themselves only takes time.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  add_test(NAME ${name} COMMAND ${name})
  set(environment "OMP_WAIT_POLICY=PASSIVE" "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/cpp/lsan.supp"
                  # The engine gives its threads signal stacks of its own.
                  "ASAN_OPTIONS=use_sigaltstack=0" ${arg_ENV})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${environment}")
endfunction()
