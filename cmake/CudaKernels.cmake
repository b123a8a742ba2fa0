# Compiles framework/kernels/cuda/*.cu if there is an nvcc; without one, none.cpp takes their place and LibTorch's operations
# do their work. The CUDA runtime is linked statically, so a machine that runs Levin needs no CUDA toolkit.
#
# In:  LEVIN_CUDA_KERNELS        OFF leaves the kernels out
#      LEVIN_CUDA_ARCHITECTURES  the GPUs that machine code is made for; newer ones translate that of the last
# Out: LEVIN_HAS_CUDA_KERNELS; the target levin_cuda, with the objects, if it is ON
include_guard(GLOBAL)
include(CheckLanguage)

option(LEVIN_CUDA_KERNELS "compile CUDA kernels if there is an nvcc" ON)
# CUDA 13 has dropped everything older than Turing (75). GPUs of 8.6 and 8.9 run the code for 8.0, and newer ones than 9.0
# translate the last.
set(LEVIN_CUDA_ARCHITECTURES "75-real;80-real;90" CACHE STRING "GPUs to compile CUDA kernels for")
file(GLOB cuda_sources CONFIGURE_DEPENDS framework/kernels/cuda/*.cu)

set(LEVIN_HAS_CUDA_KERNELS OFF)
if(LEVIN_HAS_CUDA AND LEVIN_CUDA_KERNELS AND NOT LEVIN_SYNTAX_ONLY)
  find_program(LEVIN_NVCC nvcc HINTS /usr/local/cuda/bin)
  if(LEVIN_NVCC AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} "${LEVIN_NVCC}")
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES "${LEVIN_CUDA_ARCHITECTURES}")
    enable_language(CUDA)
    foreach(kind IN ITEMS STANDARD EXTENSION)  # CMake 3.25 knows how to ask nvcc for C++20, but not nvcc 13
      if(NOT CMAKE_CUDA20_${kind}_COMPILE_OPTION)
        set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
      endif()
    endforeach()
    find_package(CUDAToolkit REQUIRED)
    set(LEVIN_HAS_CUDA_KERNELS ON)
  endif()
endif()

if(LEVIN_HAS_CUDA_KERNELS)
  add_library(levin_cuda OBJECT ${cuda_sources})
  target_include_directories(levin_cuda PRIVATE "${LEVIN_INCLUDE_DIR}")
  set_target_properties(levin_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_STANDARD 20
    CUDA_ARCHITECTURES "${LEVIN_CUDA_ARCHITECTURES}")
  if(LEVIN_WERROR)
    target_compile_options(levin_cuda PRIVATE -Werror=all-warnings)
  endif()
  message(STATUS "CUDA kernels: built by ${CMAKE_CUDA_COMPILER} for ${LEVIN_CUDA_ARCHITECTURES}")
else()
  message(STATUS "CUDA kernels: left out")
endif()

# levin_add_cuda_kernels(TARGET): adds the kernels, or what there is instead, to a library.
function(levin_add_cuda_kernels target)
  if(LEVIN_HAS_CUDA_KERNELS)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:levin_cuda>)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:CUDA::cudart_static>)
    # LibTorch's headers for graphs call the CUDA runtime, which only this links.
    if(LEVIN_CUDA_INCLUDE_DIR)
      set_source_files_properties(framework/tensor/device_graph.cpp PROPERTIES COMPILE_DEFINITIONS LEVIN_HAS_CUDA_GRAPHS=1)
    endif()
  endif()
endfunction()
