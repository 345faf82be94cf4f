# Script of the test install_consumer: install, move, configure, build and run. Input: BUILD_DIR, CONSUMER, GENERATOR, MAKE_PROGRAM,
# CXX, SANITIZE. The prefix is moved after the installation, so that nothing may depend on where it was.
set(work "${BUILD_DIR}/tests/consumer")
file(REMOVE_RECURSE "${work}")
execute_process(COMMAND ${CMAKE_COMMAND} --install "${BUILD_DIR}" --prefix "${work}/first" OUTPUT_QUIET
                        COMMAND_ERROR_IS_FATAL ANY)
file(RENAME "${work}/first" "${work}/prefix")
execute_process(
  COMMAND ${CMAKE_COMMAND} -S "${CONSUMER}" -B "${work}/build" -G "${GENERATOR}" -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}
          -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${work}/prefix -DSANITIZE=${SANITIZE} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build "${work}/build" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${work}/build/consumer" COMMAND_ERROR_IS_FATAL ANY)
foreach(program wasmgrad-train wasm-graphruntime)
  if(EXISTS "${work}/prefix/bin/${program}")
    execute_process(COMMAND "${work}/prefix/bin/${program}" --help OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  endif()
endforeach()
file(REMOVE_RECURSE "${work}")
