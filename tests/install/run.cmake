# cmake -DBUILD=... -DSOURCE=... -DTORCH=... -DCONFIG=... -P run.cmake
# Installs Levin, moves the tree (into a path with a space), builds the consumer against it and runs both programs.
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
