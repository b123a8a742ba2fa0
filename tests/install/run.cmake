# cmake -DBUILD=... -DSOURCE=... -DTORCH=... -DCONFIG=... -P run.cmake
# Installs Levin, moves the tree (into a path with a space), runs its program and its gpu-check, builds the consumer and
# a project that `levin new` writes against it, runs their programs, and trains the project's classes as a plugin.
# The tree of a package finds LibTorch in a Python environment.
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
file(GLOB_RECURSE folders LIST_DIRECTORIES ON "${work}/moved/*")
foreach(folder IN LISTS folders)
  file(GLOB content "${folder}/*")
  if(IS_DIRECTORY "${folder}" AND NOT content)
    message(FATAL_ERROR "an empty folder was installed, of which vcpkg would warn: ${folder}")
  endif()
endforeach()
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

# What `levin new` writes, with every warning an error: it compiles, passes its tests, and is trained as a plugin, by two
# ranks and by a search with two workers, and by the project's own program.
set(levin "${work}/moved/bin/levin")
run("levin new project" "${levin}" new project Flowers)
run("levin new callback" "${levin}" new callback SecondWatcher --output Flowers)
run("configure the project" "${CMAKE_COMMAND}" -G Ninja -S Flowers -B Flowers/build "-DCMAKE_PREFIX_PATH=${work}/moved"
  "-DCMAKE_BUILD_TYPE=${CONFIG}" -DCMAKE_CXX_FLAGS_RELEASE=-O0 "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wshadow -Wconversion -Werror"
  -DCMAKE_UNITY_BUILD=ON)
run("build the project" "${CMAKE_COMMAND}" --build Flowers/build)
run("the project's tests" Flowers/build/flowers_test)
set(plugin --plugin Flowers/build/libflowers.so)
set(fit --config Flowers/config.yaml --trainer.max_epochs=2)
run("levin list with the plugin" "${levin}" list callbacks ${plugin})
if(NOT output MATCHES "FlowersCallback +the best value" OR NOT output MATCHES "SecondWatcher")
  message(FATAL_ERROR "levin list doesn't know the plugin's callbacks:\n${output}")
endif()
run("levin fit with the plugin" "${levin}" fit ${plugin} ${fit} --trainer.devices=2 --trainer.accelerator=cpu)
if(NOT output MATCHES "best val_loss: [0-9.]+")
  message(FATAL_ERROR "the plugin's callback printed nothing:\n${output}")
endif()
run("levin test with the plugin" "${levin}" test ${plugin} --config Flowers/config.yaml --ckpt-path best)
execute_process(COMMAND "${levin}" test --data IrisDataModule --ckpt-path best WORKING_DIRECTORY "${work}/run"
  RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT code EQUAL 2 OR NOT output MATCHES "unknown class 'FlowersModel'.*--plugin LIBRARY.so")
  message(FATAL_ERROR "a checkpoint of a plugin's class without --plugin: status ${code}:\n${output}")
endif()
file(READ "${work}/run/Flowers/config.yaml" text)
file(WRITE "${work}/run/Flowers/own.yaml" "plugins: build/libflowers.so\n${text}")
run("levin test with a configuration that names the plugin" "${levin}" test --config Flowers/own.yaml --ckpt-path best)
run("levin sweep with the plugin" "${levin}" sweep ${plugin} ${fit} --model.learning_rate=0.01,0.02 --workers 2)
run("the project's program" Flowers/build/flowers_trainer fit ${fit})

# With LibTorch beside the tree, and with one named, instead of the place it had when Levin was built.
file(CREATE_LINK "${TORCH}" "${work}/torch" SYMBOLIC)
run("configure with LibTorch beside the tree" "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}" -B "${work}/beside"
  "-DCMAKE_PREFIX_PATH=${work}/moved")
if(NOT output MATCHES "LibTorch [0-9.]+ in [^\n]*/install test/torch")
  message(FATAL_ERROR "LibTorch beside the tree was not taken:\n${output}")
endif()
run("configure with LibTorch named" "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}" -B "${work}/named"
  "-DCMAKE_PREFIX_PATH=${work}/moved" "-DLEVIN_TORCH_DIR=${TORCH}")

# The tree of a package, in which only the script bin/levin knows how to find LibTorch.
file(REMOVE "${work}/torch")
foreach(component IN ITEMS Unspecified packaged)
  run("install ${component} for a package" "${CMAKE_COMMAND}" --install "${BUILD}" --config "${CONFIG}"
    --prefix "${work}/package/levin" --component ${component})
endforeach()
execute_process(COMMAND "${CMAKE_COMMAND}" -E env --unset=LD_LIBRARY_PATH "${work}/package/levin/libexec/levin/levin" --version
  RESULT_VARIABLE code ERROR_VARIABLE output)
if(code EQUAL 0 OR NOT output MATCHES "lib(torch|c10)[a-z_]*\\.so")
  message(FATAL_ERROR "the package's program has found LibTorch in a folder of this machine:\n${output}")
endif()
file(MAKE_DIRECTORY "${work}/venv/lib/python3.11/site-packages")
file(CREATE_LINK "${TORCH}" "${work}/venv/lib/python3.11/site-packages/torch" SYMBOLIC)
set(ENV{VIRTUAL_ENV} "${work}/venv")
run("the package's program" "${work}/package/levin/bin/levin" list)
run("configure with the package" "${CMAKE_COMMAND}" -G Ninja -S "${SOURCE}" -B "${work}/packaged"
  "-DCMAKE_PREFIX_PATH=${work}/package/levin")
get_filename_component(real "${TORCH}" REALPATH)
if(NOT output MATCHES "LibTorch [0-9.]+ in ${real}")
  message(FATAL_ERROR "the package has not found the LibTorch of the Python environment:\n${output}")
endif()
file(REMOVE_RECURSE "${work}")
