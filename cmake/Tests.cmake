# Tests, examples and benchmarks.
#
# ctest labels: unit, cli (unit tests of the program), program (those of them that start it dozens of times), distributed,
# example, install, and cuda: the test suites with Cuda in their names, which skip themselves where there is no GPU.
include_guard(GLOBAL)

# A process has one thread: tests run side by side, and two OpenMP teams on one pair of cores would wait for each other by
# spinning. A single test that runs for longer than LEVIN_TEST_SECONDS is ended and named (tests/hang_guard.cpp).
set(test_environment OMP_NUM_THREADS=1 LEVIN_TEST_SECONDS=300)
if(LEVIN_SANITIZE)
  set(suppressions "${PROJECT_SOURCE_DIR}/scripts/sanitizers")
  # Some tests ask for more memory than there is, and expect an error.
  list(APPEND test_environment "ASAN_OPTIONS=allocator_may_return_null=1"
    "LSAN_OPTIONS=suppressions='${suppressions}/lsan.txt':print_suppressions=0"
    "TSAN_OPTIONS=suppressions='${suppressions}/tsan.txt'" "UBSAN_OPTIONS=print_stacktrace=1")
endif()

# levin_test_flags: the options of tests and examples. -O0: a test compiles in half the time of -O2, and with the address
# sanitizer in half the time of -O1; the library has -O2, and -O1 with a sanitizer.
add_library(levin_test_flags INTERFACE)
target_link_libraries(levin_test_flags INTERFACE levin_flags)
if(LEVIN_SANITIZE)
  target_compile_options(levin_test_flags INTERFACE -O0)
else()
  target_compile_options(levin_test_flags INTERFACE $<$<CONFIG:Release>:-O0>)
endif()
target_compile_definitions(levin_test_flags INTERFACE GTEST_HAS_PTHREAD=1)

add_library(levin_hang_guard OBJECT tests/hang_guard.cpp)
target_link_libraries(levin_hang_guard PRIVATE levin_test_flags GTest::gtest)

# The precompiled header of those that use LibTorch.
file(WRITE "${PROJECT_BINARY_DIR}/empty.cpp" "")
add_library(levin_pch OBJECT "${PROJECT_BINARY_DIR}/empty.cpp")
# levin_flags first, as for every program: of two optimisation levels, the last one counts.
target_link_libraries(levin_pch PRIVATE levin::torch levin_flags levin_test_flags GTest::gtest)
target_precompile_headers(levin_pch PRIVATE cmake/pch_torch.h)

function(levin_test_executable name)
  levin_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE levin_test_flags)
  target_precompile_headers(${name} REUSE_FROM levin_pch)
endfunction()

# levin_add_tests(TARGET LABEL...): adds a test executable to ctest. Unit tests are short, so ten suites share a process, in
# which LibTorch starts once; suites that start processes have one each. cmake/TestSuites.cmake finds the suites when ctest
# starts; the results of the cases go to build/<preset>/cases/*.xml.
function(levin_add_tests target)
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/cases")
  # The tests of the levin program spend their time in its processes, so their suites run side by side in every preset.
  if(NOT LEVIN_TEST_PER_SUITE AND NOT "cli" IN_LIST ARGN)
    add_test(NAME ${target} COMMAND ${target} --gtest_brief=1
      "--gtest_output=xml:${PROJECT_BINARY_DIR}/cases/${target}.xml")
    set_tests_properties(${target} PROPERTIES TIMEOUT 1200 LABELS "${ARGN}" ENVIRONMENT "${test_environment}")
    return()
  endif()
  set(suites_a_process 1)
  if("unit" IN_LIST ARGN AND NOT "cli" IN_LIST ARGN)
    set(suites_a_process 10)
  endif()
  set(file "${PROJECT_BINARY_DIR}/${target}_suites.cmake")
  file(GENERATE OUTPUT "${file}" CONTENT "
set(target ${target})
set(executable \"$<TARGET_FILE:${target}>\")
set(labels \"${ARGN}\")
set(environment \"${test_environment}\")
set(results \"${PROJECT_BINARY_DIR}/cases\")
set(suites_a_process ${suites_a_process})
include(\"${PROJECT_SOURCE_DIR}/cmake/TestSuites.cmake\")
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${file}")
endfunction()

# Gives a test executable the include folder tests/ and the paths of the sources and of the build.
function(levin_test_setting target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(${target} PRIVATE
    "LEVIN_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\""    # tests/baselines/*.json, examples/configs
    "LEVIN_BINARY_DIR=\"${PROJECT_BINARY_DIR}\"")   # bin/levin
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:levin_hang_guard>)
  target_link_libraries(${target} PRIVATE GTest::gtest GTest::gtest_main nlohmann_json::nlohmann_json ZLIB::ZLIB)
endfunction()

# levin_plain_test(NAME SOURCES...): tests of the folders without LibTorch. They are linked with those folders only, and
# compile and start without LibTorch.
function(levin_plain_test name)
  add_executable(${name} ${ARGN} $<TARGET_OBJECTS:levin_plain> $<TARGET_OBJECTS:levin_services_plain>)
  levin_plain_target(${name})
  target_link_libraries(${name} PRIVATE levin_test_flags)
  levin_test_setting(${name})
  levin_unity(${name} ${LEVIN_TESTS_TOGETHER})
endfunction()

set(LEVIN_TESTS_TOGETHER 14)  # a batch takes up to 3 GB of memory

# --- one executable for each folder of tests/ that has sources, and two for what needs no LibTorch --------------------
file(GLOB_RECURSE all_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/*.cpp")
set(sources ${all_sources})
list(FILTER sources INCLUDE REGEX "_test\\.cpp$")
list(FILTER sources EXCLUDE REGEX "^${PROJECT_SOURCE_DIR}/tests/architecture/")
levin_split_plain(plain_sources sources tests/)
set(process_sources ${plain_sources})  # their cases start processes
list(FILTER process_sources INCLUDE REGEX "/tests/framework/(launch|heartbeat)/")
list(FILTER plain_sources EXCLUDE REGEX "/tests/framework/(launch|heartbeat)/")
levin_plain_test(plain_test ${plain_sources})
levin_add_tests(plain_test unit)
levin_plain_test(processes_test ${process_sources})
levin_add_tests(processes_test distributed)
set(LEVIN_TEST_TARGETS plain_test processes_test)

set(folders "")
foreach(source IN LISTS sources)
  file(RELATIVE_PATH path "${PROJECT_SOURCE_DIR}/tests" "${source}")
  if(path MATCHES "^([^/]+)/")
    list(APPEND folders "${CMAKE_MATCH_1}")
  endif()
endforeach()
list(REMOVE_DUPLICATES folders)
# It replaces operator delete: inlined into the tests of a batch, it would look to gcc as if it didn't match their new.
set_source_files_properties(tests/framework/allocations.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON
  SKIP_PRECOMPILE_HEADERS ON)
set_source_files_properties(tests/distributed/rank_work.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
foreach(name IN LISTS folders)
  set(own ${sources})
  list(FILTER own INCLUDE REGEX "^${PROJECT_SOURCE_DIR}/tests/${name}/")
  if(name STREQUAL "framework")
    list(APPEND own "${PROJECT_SOURCE_DIR}/tests/framework/allocations.cpp")
  elseif(name STREQUAL "distributed")
    list(APPEND own "${PROJECT_SOURCE_DIR}/tests/distributed/rank_work.cpp")
  endif()
  levin_test_executable(${name}_test ${own})
  levin_test_setting(${name}_test)
  levin_unity(${name}_test ${LEVIN_TESTS_TOGETHER})
  list(APPEND LEVIN_TEST_TARGETS ${name}_test)
  if(name MATCHES "^(cli|serving|tuning)$")  # some of them start the program
    add_dependencies(${name}_test levin_cli)
    levin_add_tests(${name}_test unit cli)
  elseif(name STREQUAL "distributed")
    # What the tests start as ranks.
    levin_test_executable(rank_program tests/distributed/rank_program.cpp tests/distributed/rank_work.cpp)
    target_include_directories(rank_program PRIVATE "${PROJECT_SOURCE_DIR}/tests")
    add_dependencies(distributed_test rank_program)
    find_program(LEVIN_TORCHRUN torchrun HINTS "${LEVIN_TORCH_DIR}/../../../../bin")
    if(LEVIN_TORCHRUN)
      target_compile_definitions(distributed_test PRIVATE "LEVIN_TORCHRUN=\"${LEVIN_TORCHRUN}\"")
    endif()
    list(APPEND LEVIN_TEST_TARGETS rank_program)
    levin_add_tests(distributed_test distributed)
  else()
    levin_add_tests(${name}_test unit)
  endif()
endforeach()

# The plugin that tests of the program load.
add_library(sample_plugin MODULE tests/cli/sample_plugin.cpp)
target_link_libraries(sample_plugin PRIVATE levin levin_test_flags)
set_target_properties(sample_plugin PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
add_dependencies(cli_test sample_plugin)

# The client of examples/serving, which has nothing of Levin. A test of the service runs it.
find_package(CURL REQUIRED)
add_executable(serving_client examples/serving/client.cpp)
target_link_libraries(serving_client PRIVATE levin_flags CURL::libcurl)
add_dependencies(serving_test serving_client)

# The tests of our own threads that aren't in processes_test. The thread sanitizer runs both.
file(GLOB server_tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/framework/parameter_server/*_test.cpp")
levin_test_executable(threads_test EXCLUDE_FROM_ALL tests/framework/data/dataloader_test.cpp
  tests/framework/data/dataloader_buffers_test.cpp tests/framework/data/dataloader_workers_test.cpp
  tests/framework/threads/shared_work_test.cpp tests/framework/kernels/hogwild_test.cpp tests/distributed/host_sum_test.cpp
  tests/framework/allocations.cpp ${server_tests})
levin_test_setting(threads_test)

# The check of the dependencies' direction reads sources; it needs no LibTorch, and tells sanitizers nothing.
add_executable(architecture_test tests/architecture/architecture_test.cpp tests/architecture/solver_table_test.cpp
  tests/architecture/lightning_table_test.cpp)
target_link_libraries(architecture_test PRIVATE levin_flags GTest::gtest GTest::gtest_main)
target_compile_definitions(architecture_test PRIVATE "LEVIN_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"")
if(NOT LEVIN_SANITIZE)
  levin_add_tests(architecture_test unit)
endif()

# No source may be left out: its tests would never run, and nothing would say so.
list(REMOVE_ITEM all_sources "${PROJECT_SOURCE_DIR}/tests/install/main.cpp")  # a project of its own
foreach(target IN LISTS LEVIN_TEST_TARGETS ITEMS architecture_test sample_plugin levin_hang_guard)
  get_target_property(own ${target} SOURCES)
  foreach(source IN LISTS own)
    get_filename_component(source "${source}" ABSOLUTE BASE_DIR "${PROJECT_SOURCE_DIR}")
    list(REMOVE_ITEM all_sources "${source}")
  endforeach()
endforeach()
if(all_sources)
  list(JOIN all_sources ", " all_sources)
  message(FATAL_ERROR "belongs to no test executable: ${all_sources}. A test must be in a folder below tests/, and its name "
    "must end with _test.cpp; add any other source to its executable in cmake/Tests.cmake.")
endif()

# The summary that ./run check ends with.
add_test(NAME check.summary COMMAND sh "${PROJECT_SOURCE_DIR}/tests/scripts/summary_test.sh" "${PROJECT_SOURCE_DIR}")
set_tests_properties(check.summary PROPERTIES LABELS unit TIMEOUT 60)
# ./run on a machine without LibTorch, with tools that are made up.
add_test(NAME check.run COMMAND sh "${PROJECT_SOURCE_DIR}/tests/scripts/run_test.sh" "${PROJECT_SOURCE_DIR}")
set_tests_properties(check.run PROPERTIES LABELS unit TIMEOUT 300)
# ./run gpu-check on a tree of programs that are made up.
add_test(NAME check.gpu_check COMMAND sh "${PROJECT_SOURCE_DIR}/tests/scripts/gpu_check_test.sh" "${PROJECT_SOURCE_DIR}")
set_tests_properties(check.gpu_check PROPERTIES LABELS unit TIMEOUT 120)
# What the compiler made of the inner loops. Sanitizers and other compilers make something else of them.
if(NOT LEVIN_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  add_test(NAME check.kernels COMMAND sh "${PROJECT_SOURCE_DIR}/tests/scripts/kernels_test.sh" $<TARGET_FILE:levin>)
  set_tests_properties(check.kernels PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)
endif()

# The pages of the documentation: a test of each runs what it shows (tests/docs/run_page.py).
find_program(LEVIN_PYTHON python3)
if(LEVIN_PYTHON AND NOT LEVIN_SANITIZE)
  set(page_tests "${PROJECT_SOURCE_DIR}/tests/docs")
  add_test(NAME docs.tools COMMAND "${LEVIN_PYTHON}" -B -m unittest discover -p "*_test.py" WORKING_DIRECTORY "${page_tests}")
  set_tests_properties(docs.tools PROPERTIES LABELS unit TIMEOUT 120)
  file(GLOB_RECURSE pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/*.md")
  foreach(page IN LISTS pages ITEMS "${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/ARCHITECTURE.md"
      "${PROJECT_SOURCE_DIR}/CONTRIBUTING.md")
    get_filename_component(name "${page}" NAME_WE)
    add_test(NAME page.${name} COMMAND "${LEVIN_PYTHON}" -B "${page_tests}/run_page.py" --levin $<TARGET_FILE:levin_cli> "${page}")
    set_tests_properties(page.${name} PROPERTIES LABELS "cli;page" TIMEOUT 600 ENVIRONMENT "${test_environment}")
  endforeach()
endif()

# The executables of `ctest -L unit`, which is all that the asan preset runs, without those of the label program.
set(unit_targets ${LEVIN_TEST_TARGETS})
list(REMOVE_ITEM unit_targets processes_test distributed_test rank_program)
if(NOT LEVIN_SANITIZE)
  list(APPEND unit_targets architecture_test)
endif()
add_custom_target(unit_tests DEPENDS ${unit_targets})

# --- examples: each checks its own printed result and says so by its exit status; 77: it can't run here ---------------
set(LEVIN_EXAMPLE_TARGETS "")
set(LEVIN_BENCHMARK_TARGETS "")
if(LEVIN_EXAMPLES)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*.cpp")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    levin_test_executable(${name} "${source}")
    list(APPEND LEVIN_EXAMPLE_TARGETS ${name})
    set(work "${PROJECT_BINARY_DIR}/examples/${name}")
    file(MAKE_DIRECTORY "${work}")
    add_test(NAME example.${name} COMMAND ${name} WORKING_DIRECTORY "${work}")
    set_tests_properties(example.${name} PROPERTIES LABELS example SKIP_RETURN_CODE 77 TIMEOUT 1200
      ENVIRONMENT "${test_environment};LEVIN_OFFLINE=1")
  endforeach()

  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/examples/gan_on_two_devices")
  add_test(NAME example.gan_on_two_devices COMMAND gan 2 WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/examples/gan_on_two_devices")
  set_tests_properties(example.gan_on_two_devices PROPERTIES LABELS example TIMEOUT 600
    ENVIRONMENT "${test_environment};LEVIN_OFFLINE=1")

  # Benchmarks are measured at the library's -O2 and run by ./run bench. Most of them include all of LibTorch.
  add_library(levin_bench_pch OBJECT "${PROJECT_BINARY_DIR}/empty.cpp")
  target_link_libraries(levin_bench_pch PRIVATE levin::torch levin_flags)
  target_precompile_headers(levin_bench_pch PRIVATE <torch/torch.h> cmake/pch.h)
  string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_RELEASE}" LEVIN_BENCH_FLAGS)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/benchmarks/*.cpp")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    levin_executable(bench_${name} "${source}")
    target_compile_definitions(bench_${name} PRIVATE "LEVIN_BENCH_FLAGS=\"${LEVIN_BENCH_FLAGS}\"")
    target_link_libraries(bench_${name} PRIVATE nlohmann_json::nlohmann_json)
    target_precompile_headers(bench_${name} REUSE_FROM levin_bench_pch)
    list(APPEND LEVIN_BENCHMARK_TARGETS bench_${name})
  endforeach()
  add_subdirectory(benchmarks/baselines EXCLUDE_FROM_ALL)
  if(LEVIN_PYTHON)  # the arithmetic of ./run bench and ./run gpu-check
    add_test(NAME benchmark.report COMMAND "${LEVIN_PYTHON}" -B -m unittest bench_test link_test gpu_report_test serving_test
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/benchmarks")
    set_tests_properties(benchmark.report PROPERTIES LABELS unit TIMEOUT 60)
  endif()
endif()

# --- packages ---------------------------------------------------------------------------------------------------------
if(NOT LEVIN_SANITIZE)
  add_test(NAME package.launcher COMMAND sh "${PROJECT_SOURCE_DIR}/tests/scripts/launcher_test.sh"
    "${PROJECT_BINARY_DIR}/packaged/levin")
  set_tests_properties(package.launcher PROPERTIES LABELS unit TIMEOUT 60 SKIP_RETURN_CODE 77)
  find_program(LEVIN_PYTHON python3)
  if(LEVIN_PYTHON)
    add_test(NAME package.wheel COMMAND "${LEVIN_PYTHON}" -B -m unittest make_wheel_test
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/tests/scripts")
    set_tests_properties(package.wheel PROPERTIES LABELS unit TIMEOUT 60 ENVIRONMENT "CXX=${CMAKE_CXX_COMPILER}")
    # The recipes of conan and vcpkg, and the Dockerfile: their form. Building with them takes as long as this build did.
    add_test(NAME package.recipes COMMAND "${LEVIN_PYTHON}" -B -m unittest recipes_test
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/tests/scripts")
    set_tests_properties(package.recipes PROPERTIES LABELS unit TIMEOUT 60)
  endif()
  # A project that fetches Levin's sources is configured; compiling would take as long as this build did.
  add_test(NAME package.fetch_content COMMAND "${CMAKE_COMMAND}" "-DBUILD=${PROJECT_BINARY_DIR}"
    "-DSOURCE=${PROJECT_SOURCE_DIR}" "-DTORCH=${LEVIN_TORCH_DIR}" -P "${PROJECT_SOURCE_DIR}/tests/install/fetch/run.cmake")
  set_tests_properties(package.fetch_content PROPERTIES LABELS install TIMEOUT 300)
endif()

# --- the installed tree, used by a project of its own -----------------------------------------------------------------
if(NOT LEVIN_SANITIZE)
  add_test(NAME install.consumer COMMAND "${CMAKE_COMMAND}"
    "-DBUILD=${PROJECT_BINARY_DIR}" "-DSOURCE=${PROJECT_SOURCE_DIR}/tests/install"
    "-DTORCH=${LEVIN_TORCH_DIR}" "-DCONFIG=$<CONFIG>" -P "${PROJECT_SOURCE_DIR}/tests/install/run.cmake")
  set_tests_properties(install.consumer PROPERTIES LABELS install TIMEOUT 900 COST 90)
endif()

# What the asan preset doesn't compile: if that is clang's, the clang preset needn't look at its tests again.
add_custom_target(without_unit_tests DEPENDS levin_cli processes_test distributed_test rank_program
  architecture_test serving_client ${LEVIN_EXAMPLE_TARGETS} ${LEVIN_BENCHMARK_TARGETS})

# What ctest needs: everything but the benchmarks.
add_custom_target(tested DEPENDS levin_cli architecture_test ${LEVIN_TEST_TARGETS} ${LEVIN_EXAMPLE_TARGETS})
