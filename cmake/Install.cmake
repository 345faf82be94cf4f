# What is installed and where: `cmake --install` makes an ordinary prefix, a wheel build (SKBUILD) fills the Python package.
# Run-time paths are set here too, so that no folder needs to know the layout.
#
# In a prefix, libtorch is found where it was at build time (absolute); in a wheel, in the torch package beside ours.
include(CMakePackageConfigHelpers)
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME wasmgrad)

if(SKBUILD)
  set(_bin wasmgrad/bin)
  set(_private_lib wasmgrad/lib)
  set(_plugin wasmgrad/lib/wasmedge)
  set(_guests wasmgrad/guests)
  set(_graph_runtime wasmgrad/graph_runtime)
  set(_sdk wasmgrad/sdk)
else()
  set(_bin "${CMAKE_INSTALL_BINDIR}")
  # Not in the library directory itself: these libraries must not hide the system's.
  set(_private_lib "${CMAKE_INSTALL_LIBDIR}/wasmgrad")
  set(_plugin "${CMAKE_INSTALL_LIBDIR}/wasmedge")
  set(_guests "${CMAKE_INSTALL_DATADIR}/wasmgrad/guests")
  set(_graph_runtime "${CMAKE_INSTALL_DATADIR}/wasmgrad/graph_runtime")
  set(_sdk "${CMAKE_INSTALL_DATADIR}/wasmgrad/sdk")
endif()

# Installs a program, plugin or Python extension, with run-time paths to WasmEdge and libtorch.
function(_wasmgrad_install_runtime target destination)
  if(NOT TARGET ${target})
    return()
  endif()
  set(private_lib "/${_private_lib}")
  cmake_path(RELATIVE_PATH private_lib BASE_DIRECTORY "/${destination}")
  set(rpath "$ORIGIN/${private_lib}")
  if(SKBUILD)
    set(torch_lib "/torch/lib")
    cmake_path(RELATIVE_PATH torch_lib BASE_DIRECTORY "/${destination}")
    list(APPEND rpath "$ORIGIN/${torch_lib}")
  else()
    list(APPEND rpath "${TORCH_WHEEL_ROOT}/lib")
  endif()
  if(NOT WASMGRAD_WASMEDGE_PREFIX)
    cmake_path(GET WasmEdge_LIBRARY PARENT_PATH wasmedge_lib)
    list(APPEND rpath "${wasmedge_lib}")
  endif()
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "${rpath}")
  install(TARGETS ${target} RUNTIME DESTINATION "${destination}" LIBRARY DESTINATION "${destination}")
endfunction()

_wasmgrad_install_runtime(wasmgrad-train "${_bin}")
_wasmgrad_install_runtime(wasmgrad-worker "${_bin}")
_wasmgrad_install_runtime(wasm-graphruntime "${_bin}")
_wasmgrad_install_runtime(wasmgradPlugin "${_plugin}")
_wasmgrad_install_runtime(wasmgradPluginWasiNN "${_plugin}")
if(TARGET wasmgradPluginWasiNN)
  set_property(TARGET wasmgradPluginWasiNN APPEND PROPERTY INSTALL_RPATH "$ORIGIN")
endif()

if(WASMGRAD_WASMEDGE_PREFIX)
  # A wheel cannot hold the symbolic link libwasmedge.so, and nothing links against a wheel.
  install(DIRECTORY "${WASMGRAD_WASMEDGE_PREFIX}/lib/" DESTINATION "${_private_lib}" USE_SOURCE_PERMISSIONS
          FILES_MATCHING PATTERN "*.so*" PATTERN libwasmedge.so EXCLUDE)
  install(FILES "${WASMGRAD_WASMEDGE_PREFIX}/source.json" DESTINATION "${_private_lib}")
endif()

if(WASMGRAD_BUILD_GUESTS)
  get_property(_guest_targets DIRECTORY guests PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS _guest_targets)
    install(FILES "$<TARGET_PROPERTY:${target},WASMGRAD_GUEST_FILE>" DESTINATION "${_guests}")
  endforeach()
  install(DIRECTORY "${PROJECT_BINARY_DIR}/graph_runtime/" DESTINATION "${_graph_runtime}" FILES_MATCHING PATTERN "*.a")
endif()
install(DIRECTORY guests/web DESTINATION "${_guests}")
install(DIRECTORY guests/sdk/include guests/sdk/rust guests/sdk/assemblyscript guests/sdk/javascript guests/sdk/python guests/sdk/wit
        DESTINATION "${_sdk}"
        PATTERN target EXCLUDE PATTERN Cargo.lock EXCLUDE PATTERN node_modules EXCLUDE PATTERN __pycache__ EXCLUDE)

if(SKBUILD)
  # What the command `wasmgrad` works with: the templates of new guests, and the data of the default run.
  install(DIRECTORY guests/templates DESTINATION wasmgrad/guests)
  install(DIRECTORY data/mnist DESTINATION wasmgrad/data)
  install(DIRECTORY data/imagenet DESTINATION wasmgrad/data)
  _wasmgrad_install_runtime(_core wasmgrad)
  _wasmgrad_install_runtime(_graph_core wasmgrad)
  _wasmgrad_install_runtime(_graph_format wasmgrad)
  return()
endif()

# The libraries, for find_package(wasmgrad) in another project.
set(_package "${CMAKE_INSTALL_LIBDIR}/cmake/wasmgrad")

# Exports the libraries of a folder and of those below it, as wasmgrad::<name without the prefix>.
function(_wasmgrad_export_libraries directory)
  get_property(targets DIRECTORY "${directory}" PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    string(REGEX REPLACE "^wasmgrad_" "" name ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
    install(TARGETS ${target} EXPORT wasmgrad-targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  endforeach()
  get_property(subdirectories DIRECTORY "${directory}" PROPERTY SUBDIRECTORIES)
  foreach(subdirectory IN LISTS subdirectories)
    _wasmgrad_export_libraries("${subdirectory}")
  endforeach()
endfunction()

foreach(folder base training sandbox abi runner graph)
  _wasmgrad_export_libraries(cpp/${folder})
endforeach()
install(DIRECTORY cpp/ DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/wasmgrad" FILES_MATCHING PATTERN "*.hpp")
install(EXPORT wasmgrad-targets NAMESPACE wasmgrad:: DESTINATION "${_package}")
if(WASMGRAD_WASMEDGE_PREFIX)
  # WasmEdge was installed with the libraries.
  set(_wasmedge_root "\${PACKAGE_PREFIX_DIR}/${_private_lib}")
else()
  cmake_path(GET WasmEdge_INCLUDE_DIR PARENT_PATH _wasmedge_root)
endif()
configure_package_config_file(cmake/wasmgradConfig.cmake.in "${PROJECT_BINARY_DIR}/wasmgradConfig.cmake"
                              INSTALL_DESTINATION "${_package}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/wasmgradConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/wasmgradConfig.cmake" "${PROJECT_BINARY_DIR}/wasmgradConfigVersion.cmake"
              cmake/FindTorchWheel.cmake cmake/FindWasmEdge.cmake DESTINATION "${_package}")
if(WASMGRAD_WASMEDGE_PREFIX)
  install(DIRECTORY "${WASMGRAD_WASMEDGE_PREFIX}/include/wasmedge" DESTINATION "${_private_lib}/include")
  install(FILES "${WASMGRAD_WASMEDGE_PREFIX}/lib/libwasmedge.so" DESTINATION "${_private_lib}")
endif()
