# levin_flags: the options with which every target of this project is compiled. They must be the same everywhere, because
# targets share precompiled headers.
include_guard(GLOBAL)

add_library(levin_flags INTERFACE)
target_compile_options(levin_flags INTERFACE -fPIC -Wall -Wextra -Wshadow -Wconversion)
# Nobody replaces a function of the library by another one of the same name, or compares the addresses that an inline
# function has in two shared libraries. Types, exceptions and static variables are shared all the same.
target_compile_options(levin_flags INTERFACE -fno-semantic-interposition -fvisibility-inlines-hidden)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  # gcc 13 warns about every reference that a function with temporary arguments returns, even if it doesn't refer to them.
  target_compile_options(levin_flags INTERFACE -Wno-dangling-reference)
endif()

# Newer compilers have new warnings. They are always shown, but are errors only with compilers that are known to give none.
set(known_clean OFF)
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15))
  set(known_clean ON)
endif()
if(LEVIN_WERROR AND known_clean)
  target_compile_options(levin_flags INTERFACE -Werror)
endif()

if(LEVIN_HAS_CUDA)
  target_compile_definitions(levin_flags INTERFACE LEVIN_HAS_CUDA=1)
endif()
if(LEVIN_CUDA_INCLUDE_DIR)  # without these headers, c10/cuda/*.h don't compile
  target_compile_definitions(levin_flags INTERFACE LEVIN_HAS_CUDA_HEADERS=1)
  target_include_directories(levin_flags SYSTEM INTERFACE "${LEVIN_CUDA_INCLUDE_DIR}")
endif()

if(LEVIN_SANITIZE)
  # With the thread sanitizer, a few tests run, which mostly wait: the time that counts is the compiler's.
  if(LEVIN_SANITIZE STREQUAL "thread")
    set(sanitize -O0)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      list(APPEND sanitize -Wno-tsan)  # Asio has fences, of which this sanitizer knows nothing
    endif()
  else()
    set(sanitize -O1)
  endif()
  list(APPEND sanitize -g1 -fno-omit-frame-pointer -fsanitize=${LEVIN_SANITIZE})
  if(LEVIN_SANITIZE MATCHES "undefined")
    # The vptr check needs type information that LibTorch doesn't export.
    list(APPEND sanitize -fno-sanitize=vptr -fno-sanitize-recover=undefined)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # The check of functions' types takes the same type in two shared libraries for two types. And without fused operations,
    # rounding is gcc's: tests compare bits.
    list(APPEND sanitize -fno-sanitize=function -ffp-contract=off)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # As its manual says, gcc gives false warnings about uninitialised variables in code with sanitizer checks.
    list(APPEND sanitize -Wno-maybe-uninitialized)
  endif()
  target_compile_options(levin_flags INTERFACE ${sanitize})
  target_link_options(levin_flags INTERFACE -fsanitize=${LEVIN_SANITIZE})
endif()

# levin_executable(NAME SOURCES...): adds a program that uses the library.
function(levin_executable name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE levin levin_flags)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)  # levin_flags has -fPIC, as for the library
  if(NOT LEVIN_WERROR)  # programs link even if parts of the library aren't written yet
    target_link_options(${name} PRIVATE LINKER:--unresolved-symbols=ignore-in-shared-libs)
  endif()
endfunction()
