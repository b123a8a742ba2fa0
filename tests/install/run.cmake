# cmake -DBUILD=... -DSOURCE=... -DTORCH=... -DCONFIG=... -P run.cmake
# Installs Levin, moves the tree (into a path with a space), runs its program and its gpu-check, builds the consumer
# against it and runs that.
set(work "${BUILD}/install test")
file(REMOVE_RECURSE "${work}")
file(MAKE_DIRECTORY "${work}/run")

function(run what)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${work}/run" RESULT_VARIABLE code OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${what} failed (${code}):\n${output}")
  endif()
  message(STATUS "${what}: ok")
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(ENV{LEVIN_TORCH_DIR} "")
run("install" "${CMAKE_COMMAND}" --install "${BUILD}" --config "${CONFIG}" --prefix "${work}/before")
file(RENAME "${work}/before" "${work}/moved")
run("the installed program" "${work}/moved/bin/levin" list)

# The cuda tests from the moved tree; a machine with a GPU has ./run gpu-check for all of it.
find_program(nvidia_smi nvidia-smi)
if(nvidia_smi)
  message(STATUS "gpu-check: left to ./run gpu-check, this machine may have a GPU")
else()
  run("gpu-check" "${CMAKE_COMMAND}" -E env "LEVIN_TORCH_DIR=${TORCH}" "${work}/moved/libexec/levin/gpu-check" results)
  if(NOT output MATCHES "this machine has no GPU: all ([0-9]+) CUDA tests were skipped, and no results were written")
    message(FATAL_ERROR "gpu-check without a GPU did not say so:\n${output}")
  endif()
  set(count ${CMAKE_MATCH_1})
  if(count LESS 10 OR NOT output MATCHES "CUDA tests: 0 passed, 0 failed, ${count} skipped")
    message(FATAL_ERROR "gpu-check without a GPU did not skip every cuda test:\n${output}")
  endif()
  if(EXISTS "${work}/run/results")
    message(FATAL_ERROR "gpu-check without a GPU wrote results")
  endif()
endif()
run("configure the consumer" "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}" -B "${work}/consumer"
  "-DCMAKE_PREFIX_PATH=${work}/moved" "-DCMAKE_BUILD_TYPE=${CONFIG}" "-DCMAKE_CXX_FLAGS_RELEASE=-O1")
run("build the consumer" "${CMAKE_COMMAND}" --build "${work}/consumer")
run("the consumer" "${work}/consumer/consumer")
message("${output}")

# With LibTorch beside the tree, and with one named, instead of the place it had when Levin was built.
file(CREATE_LINK "${TORCH}" "${work}/torch" SYMBOLIC)
run("configure with LibTorch beside the tree" "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}" -B "${work}/beside"
  "-DCMAKE_PREFIX_PATH=${work}/moved")
if(NOT output MATCHES "LibTorch [0-9.]+ in [^\n]*/install test/torch")
  message(FATAL_ERROR "LibTorch beside the tree was not taken:\n${output}")
endif()
run("configure with LibTorch named" "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}" -B "${work}/named"
  "-DCMAKE_PREFIX_PATH=${work}/moved" "-DLEVIN_TORCH_DIR=${TORCH}")
file(REMOVE_RECURSE "${work}")
