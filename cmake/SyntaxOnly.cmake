# LEVIN_SYNTAX_ONLY: the compiler only looks for warnings and errors. No code is generated and nothing is linked.
include_guard(GLOBAL)

if(LEVIN_SYNTAX_ONLY)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${PROJECT_SOURCE_DIR}/scripts/syntax_only.sh")
  foreach(rule IN ITEMS CREATE_SHARED_LIBRARY CREATE_STATIC_LIBRARY LINK_EXECUTABLE)
    set(CMAKE_CXX_${rule} "${CMAKE_COMMAND} -E touch <TARGET>")
  endforeach()
endif()
