# levin_commit(TARGET): compiles the commit of the sources into TARGET, where a function returns it:
#   std::string_view levin::data::build_commit();
# It is what `git describe` says, 40 digits and "-dirty" if files differ from the commit; in an archive that `git archive` made, the
# commit that stands in cmake/archived_commit.txt; otherwise what -DLEVIN_COMMIT=... gives, or nothing. The build asks anew each time,
# and compiles a file of a few lines if the answer has changed. This script is also what the build runs.

if(CMAKE_SCRIPT_MODE_FILE)
  # cmake -DSOURCES=<folder> -DOUTPUT=<cpp> -DGIVEN=<commit> -P commit.cmake
  set(commit "${GIVEN}")
  file(STRINGS "${SOURCES}/cmake/archived_commit.txt" archived LIMIT_COUNT 1)
  if(NOT commit AND archived MATCHES "^[0-9a-f]+$")
    set(commit "${archived}")
  endif()
  find_program(git git)
  if(NOT commit AND git AND EXISTS "${SOURCES}/.git")
    execute_process(COMMAND "${git}" --no-optional-locks describe --always --dirty --abbrev=40 "--match=" --exclude=*
      WORKING_DIRECTORY "${SOURCES}" OUTPUT_VARIABLE found RESULT_VARIABLE failed ERROR_QUIET
      OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT failed)
      set(commit "${found}")
    endif()
  endif()
  if(NOT commit MATCHES "^[0-9a-f]*(-dirty)?$")
    message(FATAL_ERROR "LEVIN_COMMIT is '${commit}'; it must be the hexadecimal digits of a commit")
  endif()
  set(text "// Made by cmake/commit.cmake.
#include <string_view>

namespace levin::data {

std::string_view build_commit();

std::string_view build_commit() { return \"${commit}\"; }

}  // namespace levin::data
")
  set(before "")
  if(EXISTS "${OUTPUT}")
    file(READ "${OUTPUT}" before)
  endif()
  if(NOT before STREQUAL text)
    file(WRITE "${OUTPUT}" "${text}")
  endif()
  return()
endif()

set(LEVIN_COMMIT "" CACHE STRING "the commit of these sources, for builds without git")
set(LEVIN_COMMIT_SCRIPT "${CMAKE_CURRENT_LIST_FILE}")

function(levin_commit target)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded/build_commit.cpp")
  add_custom_target(levin_build_commit
    COMMAND "${CMAKE_COMMAND}" "-DSOURCES=${PROJECT_SOURCE_DIR}" "-DOUTPUT=${output}" "-DGIVEN=${LEVIN_COMMIT}"
            -P "${LEVIN_COMMIT_SCRIPT}"
    BYPRODUCTS "${output}"
    COMMENT "Asking for the commit of the sources"
    VERBATIM)
  add_dependencies(${target} levin_build_commit)
  set_source_files_properties("${output}" PROPERTIES GENERATED ON SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
  target_sources(${target} PRIVATE "${output}")
endfunction()
