# Compiler options for framework/kernels/cpu. The folder has one file for each kind of vector unit, and the program chooses
# one of them when it runs.
include_guard(GLOBAL)

set(kernel_flags -ffp-contract=fast -fno-math-errno)
if(NOT LEVIN_SANITIZE)
  list(PREPEND kernel_flags -O3)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # With -O3, the checks of the sanitizers take minutes to compile. Without this option, gcc fuses no multiplications and
  # additions below -O2, and means of gradients that have become 0 would end above it.
  list(APPEND kernel_flags -fexpensive-optimizations)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND kernel_flags -Wno-psabi)  # the ABI of vectors doesn't matter within one file
endif()
set_source_files_properties(framework/kernels/cpu/portable.cpp framework/kernels/cpu/stacked_portable.cpp
  PROPERTIES COMPILE_OPTIONS "${kernel_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set_source_files_properties(framework/kernels/cpu/avx2.cpp framework/kernels/cpu/stacked_avx2.cpp
    PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx2;-mfma")
  set_source_files_properties(framework/kernels/cpu/avx512.cpp framework/kernels/cpu/stacked_avx512.cpp
    PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx512f;-mprefer-vector-width=512")
  set(kernel_kinds LEVIN_X86_KERNELS)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-mamx-int8 LEVIN_HAS_AMX)
  if(LEVIN_HAS_AMX AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    list(APPEND kernel_kinds LEVIN_AMX_KERNELS)
    set_source_files_properties(framework/kernels/cpu/amx.cpp PROPERTIES COMPILE_OPTIONS
      "${kernel_flags};-mavx512f;-mavx512bw;-mamx-tile;-mamx-int8;-mprefer-vector-width=512")
  else()
    list(REMOVE_ITEM sources "${PROJECT_SOURCE_DIR}/framework/kernels/cpu/amx.cpp")
  endif()
  set_source_files_properties(framework/kernels/cpu/kernels.cpp framework/kernels/cpu/stacked.cpp
    PROPERTIES COMPILE_DEFINITIONS "${kernel_kinds}")
else()
  foreach(kind amx avx2 avx512 stacked_avx2 stacked_avx512)
    list(REMOVE_ITEM sources "${PROJECT_SOURCE_DIR}/framework/kernels/cpu/${kind}.cpp")
  endforeach()
endif()
