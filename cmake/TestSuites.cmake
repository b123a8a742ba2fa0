# Read by ctest when it starts (cmake/Tests.cmake says for which executable): a test for each suite of a GoogleTest
# executable, named <target>.<suite>. Suites with Cuda in their names get the label cuda and a process of their own.
#
# In: target, executable, labels, environment, results
if(NOT EXISTS "${executable}")
  add_test(${target}_NOT_BUILT "${executable}")
  set_tests_properties(${target}_NOT_BUILT PROPERTIES LABELS "${labels}")
  return()
endif()
execute_process(COMMAND "${executable}" --gtest_list_tests OUTPUT_VARIABLE listed RESULT_VARIABLE code ERROR_VARIABLE errors
  TIMEOUT 60)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${executable} --gtest_list_tests ended with ${code}: ${errors}")
endif()
string(REGEX MATCHALL "[^\n]+" lines "${listed}")
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^([A-Za-z0-9_/]+)\\.")
    continue()
  endif()
  set(suite "${CMAKE_MATCH_1}")
  string(REPLACE "/" "_" name "${target}.${suite}")
  add_test(${name} "${executable}" --gtest_brief=1 "--gtest_filter=${suite}.*" "--gtest_output=xml:${results}/${name}.xml")
  set(suite_labels "${labels}")
  if(suite MATCHES "Cuda")
    set(suite_labels cuda)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS "${suite_labels}" ENVIRONMENT "${environment}")
  # Several processes each. What has to end in time runs by itself.
  if(suite MATCHES "^(Failure|Heartbeat|Launcher)")
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  elseif(suite_labels STREQUAL "distributed")
    set_tests_properties(${name} PROPERTIES PROCESSORS 2)
  endif()
endforeach()
