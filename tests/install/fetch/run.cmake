# cmake -DBUILD=... -DSOURCE=... -DTORCH=... -P run.cmake
# Configures a project that fetches Levin, and looks at what building its program would do.
set(work "${BUILD}/fetch test")
file(REMOVE_RECURSE "${work}")
execute_process(COMMAND "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}/tests/install/fetch" -B "${work}" "-DLEVIN_CLONE=${SOURCE}"
  "-DLEVIN_TORCH_DIR=${TORCH}" -DLEVIN_CUDA_KERNELS=OFF -DCMAKE_BUILD_TYPE=Release
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
