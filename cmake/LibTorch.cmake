# Defines the target levin::torch for the LibTorch in a folder with include/ and lib/, such as the torch/ of the PyPI
# wheel or an unpacked libtorch zip. The wheel's own find_package(Torch) fails if no CUDA toolkit is installed; this
# doesn't.
#
# Levin's own build uses this file, and so does find_package(levin) of an installed Levin.
#
# In:  LEVIN_TORCH_DIR    the folder (a cache or environment variable)
#      LEVIN_TORCH_HINTS  the folders to look in if LEVIN_TORCH_DIR is empty
#      LEVIN_CUDA         OFF ignores the CUDA libraries
# Out: levin::torch, LEVIN_TORCH_DIR, LEVIN_TORCH_VERSION
#      LEVIN_HAS_CUDA          whether the CUDA libraries are linked
#      LEVIN_CUDA_INCLUDE_DIR  the folder of cuda_runtime.h, or empty if the header can't be used
include_guard(GLOBAL)

set(LEVIN_TORCH_DIR "$ENV{LEVIN_TORCH_DIR}" CACHE PATH "folder with LibTorch's include/ and lib/")
option(LEVIN_CUDA "use LibTorch's CUDA libraries if they are found" ON)

if(NOT LEVIN_TORCH_DIR)
  # The result isn't cached, so that every configuration looks again.
  foreach(_hint IN LISTS LEVIN_TORCH_HINTS)
    if(EXISTS "${_hint}/lib/libtorch_cpu.so")
      set(LEVIN_TORCH_DIR "${_hint}")
      break()
    endif()
  endforeach()
endif()
if(NOT EXISTS "${LEVIN_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch was not found: LEVIN_TORCH_DIR = '${LEVIN_TORCH_DIR}' has no lib/libtorch_cpu.so. "
    "Run ./run setup, or set LEVIN_TORCH_DIR to a folder with LibTorch's include/ and lib/, such as "
    "the torch folder of a Python installation or an unpacked libtorch zip.")
endif()
get_filename_component(LEVIN_TORCH_DIR "${LEVIN_TORCH_DIR}" ABSOLUTE)

set(LEVIN_TORCH_VERSION "")
file(GLOB _header "${LEVIN_TORCH_DIR}/include/torch/headeronly/version.h")
foreach(_part IN ITEMS MAJOR MINOR PATCH)
  if(_header)
    file(STRINGS "${_header}" _line REGEX "define TORCH_VERSION_${_part} ")
    string(REGEX MATCH "[0-9]+" _number "${_line}")
    string(APPEND LEVIN_TORCH_VERSION ".${_number}")
  endif()
endforeach()
string(REGEX REPLACE "^\\." "" LEVIN_TORCH_VERSION "${LEVIN_TORCH_VERSION}")

set(_lib "${LEVIN_TORCH_DIR}/lib")
set(LEVIN_HAS_CUDA OFF)
if(LEVIN_CUDA AND EXISTS "${_lib}/libtorch_cuda.so" AND EXISTS "${_lib}/libc10_cuda.so")
  set(LEVIN_HAS_CUDA ON)
endif()

# The CUDA headers come with the wheel (nvidia/cu*/include) or with a CUDA toolkit. They don't compile without
# crt/host_defines.h.
set(LEVIN_CUDA_INCLUDE_DIR "")
if(LEVIN_HAS_CUDA)
  file(GLOB _cuda_includes "${LEVIN_TORCH_DIR}/../nvidia/cu*/include" "/usr/local/cuda*/include")
  foreach(_dir IN LISTS _cuda_includes)
    if(EXISTS "${_dir}/cuda_runtime.h" AND EXISTS "${_dir}/crt/host_defines.h")
      set(LEVIN_CUDA_INCLUDE_DIR "${_dir}")
      break()
    endif()
  endforeach()
endif()

add_library(levin::torch INTERFACE IMPORTED)
target_include_directories(levin::torch SYSTEM INTERFACE
  "${LEVIN_TORCH_DIR}/include" "${LEVIN_TORCH_DIR}/include/torch/csrc/api/include")
target_compile_features(levin::torch INTERFACE cxx_std_20)
# The definitions with which LibTorch was built. (Its wheel has fmt's headers; framework/core/fmt.cpp compiles fmt's functions.)
target_compile_definitions(levin::torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO USE_RPC USE_TENSORPIPE)

# Nothing calls libtorch_cuda directly, because it registers itself by static initialisers. --no-as-needed keeps Ubuntu's gcc
# from leaving it out.
set(_libraries "${_lib}/libtorch_cpu.so" "${_lib}/libc10.so")
if(LEVIN_HAS_CUDA)
  list(PREPEND _libraries "${_lib}/libtorch_cuda.so" "${_lib}/libc10_cuda.so")
endif()
target_link_libraries(levin::torch INTERFACE -Wl,--push-state,--no-as-needed ${_libraries} -Wl,--pop-state)

# LibTorch finds the nvidia libraries by its own rpath, but the linker has to be told where they are.
file(GLOB _nvidia "${LEVIN_TORCH_DIR}/../nvidia/*/lib")
set(LEVIN_TORCH_RPATH "${_lib}" ${_nvidia})
list(TRANSFORM _nvidia PREPEND "LINKER:-rpath-link," OUTPUT_VARIABLE _rpath_link)
target_link_options(levin::torch INTERFACE "LINKER:-rpath-link,${_lib}" ${_rpath_link})
