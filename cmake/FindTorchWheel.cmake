# Finds libtorch inside the PyTorch wheel of a Python installation, without importing torch.
#
# Input:   TORCH_ROOT (CMake or environment variable): the `torch` package directory. Else the Python that CMake found.
# Output:  imported target torch::wheel, TORCH_WHEEL_ROOT.
set(_torch_root "${TORCH_ROOT}")
if(NOT _torch_root)
  set(_torch_root "$ENV{TORCH_ROOT}")
endif()
if(NOT _torch_root)
  if(NOT Python_EXECUTABLE)
    find_package(Python 3.11 COMPONENTS Interpreter QUIET)
  endif()
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE _torch_root
    OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()

include(FindPackageHandleStandardArgs)
find_path(TORCH_WHEEL_ROOT include/ATen/ATen.h HINTS "${_torch_root}" NO_DEFAULT_PATH)
set(TorchWheel_VERSION)
if(TORCH_WHEEL_ROOT)
  file(STRINGS "${TORCH_WHEEL_ROOT}/version.py" _line REGEX "^__version__ = ")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" TorchWheel_VERSION "${_line}")
endif()
find_package_handle_standard_args(TorchWheel REQUIRED_VARS TORCH_WHEEL_ROOT VERSION_VAR TorchWheel_VERSION)
mark_as_advanced(TORCH_WHEEL_ROOT)

if(TorchWheel_FOUND AND NOT TARGET torch::wheel)
  add_library(torch::wheel INTERFACE IMPORTED)
  target_include_directories(
    torch::wheel SYSTEM INTERFACE "${TORCH_WHEEL_ROOT}/include"
                                  "${TORCH_WHEEL_ROOT}/include/torch/csrc/api/include")
  # libtorch_cpu registers its operators from static initialisers, so it must stay linked even where no symbol names it.
  target_link_libraries(
    torch::wheel INTERFACE -Wl,--no-as-needed "${TORCH_WHEEL_ROOT}/lib/libtorch.so"
                           "${TORCH_WHEEL_ROOT}/lib/libtorch_cpu.so" "${TORCH_WHEEL_ROOT}/lib/libc10.so"
                           -Wl,--as-needed)
endif()
