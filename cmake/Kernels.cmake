# framework/kernels has one file for each kind of vector unit; which one is used is decided when the program runs.
include_guard(GLOBAL)

set(kernel_flags -O3 -ffp-contract=fast -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND kernel_flags -Wno-psabi)  # vectors are passed between functions of one file only
endif()
set(kernel_files framework/kernels/portable.cpp framework/kernels/avx2.cpp framework/kernels/avx512.cpp)
set_source_files_properties(${kernel_files} framework/kernels/kernels.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
set_source_files_properties(framework/kernels/portable.cpp PROPERTIES COMPILE_OPTIONS "${kernel_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set_source_files_properties(framework/kernels/avx2.cpp PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx2;-mfma")
  set_source_files_properties(framework/kernels/avx512.cpp
    PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx512f;-mprefer-vector-width=512")
  set_source_files_properties(framework/kernels/kernels.cpp PROPERTIES COMPILE_DEFINITIONS LEVIN_X86_KERNELS)
else()
  list(REMOVE_ITEM sources "${PROJECT_SOURCE_DIR}/framework/kernels/avx2.cpp"
    "${PROJECT_SOURCE_DIR}/framework/kernels/avx512.cpp")
endif()
