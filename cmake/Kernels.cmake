# Compiler options for framework/kernels/cpu. The folder has one file for each kind of vector unit, and the program chooses
# one of them when it runs.
include_guard(GLOBAL)

set(kernel_flags -O3 -ffp-contract=fast -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND kernel_flags -Wno-psabi)  # the ABI of vectors doesn't matter within one file
endif()
set_source_files_properties(framework/kernels/cpu/portable.cpp PROPERTIES COMPILE_OPTIONS "${kernel_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set_source_files_properties(framework/kernels/cpu/avx2.cpp PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx2;-mfma")
  set_source_files_properties(framework/kernels/cpu/avx512.cpp
    PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx512f;-mprefer-vector-width=512")
  set_source_files_properties(framework/kernels/cpu/kernels.cpp PROPERTIES COMPILE_DEFINITIONS LEVIN_X86_KERNELS)
else()
  list(REMOVE_ITEM sources "${PROJECT_SOURCE_DIR}/framework/kernels/cpu/avx2.cpp"
    "${PROJECT_SOURCE_DIR}/framework/kernels/cpu/avx512.cpp")
endif()
