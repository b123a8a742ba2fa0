# levin_embed(<target> <function> <file>): compiles the bytes of <file> into <target>, where this function returns them:
#   std::string_view levin::data::<function>();
# A .cpp file is generated when the target is built, and again whenever <file> has changed. This script is also the
# generator: the build runs it with cmake -P.

if(CMAKE_SCRIPT_MODE_FILE)
  # cmake -DINPUT=<file> -DOUTPUT=<cpp> -DFUNCTION=<name> -P embed.cmake
  file(READ "${INPUT}" bytes HEX)
  file(SIZE "${INPUT}" size)
  if(size EQUAL 0)
    message(FATAL_ERROR "${INPUT} is empty, so there is nothing to embed; check whether the checkout is complete")
  endif()
  # A string literal of escape sequences compiles many times faster than a list of numbers.
  string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
  string(REPEAT "." 80 row)
  string(REGEX REPLACE "(${row})" "\\1\"\n    \"" bytes "${bytes}")
  get_filename_component(name "${INPUT}" NAME)
  file(WRITE "${OUTPUT}" "// Made by cmake/embed.cmake from ${name}.
#include <string_view>

#pragma GCC diagnostic ignored \"-Woverlength-strings\"

namespace levin::data {

std::string_view ${FUNCTION}();

std::string_view ${FUNCTION}() {
  static constexpr char kBytes[] =
    \"${bytes}\";
  return {kBytes, ${size}};
}

}  // namespace levin::data
")
  return()
endif()

set(LEVIN_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_FILE}")

function(levin_embed target function file)
  get_filename_component(input "${file}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded/${function}.cpp")
  file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/embedded")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DINPUT=${input}" "-DOUTPUT=${output}" "-DFUNCTION=${function}"
            -P "${LEVIN_EMBED_SCRIPT}"
    DEPENDS "${input}" "${LEVIN_EMBED_SCRIPT}"
    COMMENT "Embedding ${file}"
    VERBATIM)
  set_source_files_properties("${output}" PROPERTIES GENERATED ON SKIP_PRECOMPILE_HEADERS ON)
  target_sources(${target} PRIVATE "${output}")
endfunction()
