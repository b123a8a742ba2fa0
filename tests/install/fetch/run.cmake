# cmake -DBUILD=... -DSOURCE=... -DTORCH=... -P run.cmake
# Configures a project that fetches Levin, and looks at what building its program would do.
set(work "${BUILD}/fetch test")
file(REMOVE_RECURSE "${work}")

# The packages for which Levin has modules of its own also come with CMake files that can't be used. The project asks for such files
# first, as conan's projects do. These fail if they are read.
file(GLOB modules "${SOURCE}/cmake/Find*.cmake")
list(FILTER modules EXCLUDE REGEX "FindByHeader")
foreach(module IN LISTS modules)
  string(REGEX REPLACE ".*/Find(.*)\\.cmake$" "\\1" package "${module}")
  file(WRITE "${work}/unusable/lib/cmake/${package}/${package}Config.cmake"
    "message(FATAL_ERROR \"Levin has read CMake files of ${package} instead of its own module\")\n")
endforeach()
execute_process(COMMAND "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}/tests/install/fetch" -B "${work}" "-DLEVIN_CLONE=${SOURCE}"
  "-DLEVIN_TORCH_DIR=${TORCH}" -DLEVIN_CUDA_KERNELS=OFF -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_FIND_PACKAGE_PREFER_CONFIG=ON "-DCMAKE_PREFIX_PATH=${work}/unusable"
  RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "configuring the project failed:\n${output}")
endif()
execute_process(COMMAND ninja -C "${work}" -t commands consumer RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "ninja doesn't know how to build the program:\n${output}")
endif()
foreach(expected IN ITEMS "unity_levin_plain_0" " -shared [^\n]*liblevin\\.so" "-o consumer [^\n]*liblevin\\.so")
  if(NOT output MATCHES "${expected}")
    message(FATAL_ERROR "ninja would not do this: ${expected}\n${output}")
  endif()
endforeach()
execute_process(COMMAND ninja -C "${work}" -t targets all OUTPUT_VARIABLE output)
if(output MATCHES "(framework_test|bench_[a-z]+):")
  message(FATAL_ERROR "Levin's tests or benchmarks are targets of the project: ${CMAKE_MATCH_1}")
endif()
file(REMOVE_RECURSE "${work}")
