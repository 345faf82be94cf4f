# Trains in the stock wasmedge program with the plugin: PROGRAM, PLUGIN, GUEST, MODEL, and DIRECTORY to run in.
file(REMOVE_RECURSE "${DIRECTORY}")
file(MAKE_DIRECTORY "${DIRECTORY}")
file(COPY_FILE "${MODEL}" "${DIRECTORY}/model.pt")
file(COPY_FILE "${MODEL}" "${DIRECTORY}/../outside.pt")
set(ENV{WASMEDGE_PLUGIN_PATH} "${PLUGIN}")
set(ENV{WASMGRAD_EPOCHS} 2)

function(run mode result)
  execute_process(
    COMMAND "${PROGRAM}" --dir .:${DIRECTORY} "${GUEST}" ${mode}
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
    RESULT_VARIABLE exit_code)
  set(${result} "${exit_code}\n${output}" PARENT_SCOPE)
endfunction()

run(none trained)
if(NOT trained MATCHES "^0\n.*Epochs: 2.*epoch: 2 test acc: .*dumped to `trained_model.pt`\ntrain returned")
  message(FATAL_ERROR "no training in ${PROGRAM}: ${trained}")
endif()
if(NOT EXISTS "${DIRECTORY}/trained_model.pt")
  message(FATAL_ERROR "no trained model")
endif()

run(model-parent refused)
if(refused MATCHES "^0\n" OR NOT refused MATCHES "leaves the directory that the guest was given")
  message(FATAL_ERROR "a model outside the granted directory was not refused: ${refused}")
endif()
