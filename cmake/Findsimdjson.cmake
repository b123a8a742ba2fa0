# find_package(simdjson) -> simdjson::simdjson, by its header and its library: the CMake files of simdjson differ from one distribution to
# another.
include(FindPackageHandleStandardArgs)
find_path(SIMDJSON_INCLUDE_DIR simdjson.h)
find_library(SIMDJSON_LIBRARY simdjson)
mark_as_advanced(SIMDJSON_INCLUDE_DIR SIMDJSON_LIBRARY)
find_package_handle_standard_args(simdjson REQUIRED_VARS SIMDJSON_LIBRARY SIMDJSON_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install libsimdjson-dev")
if(simdjson_FOUND AND NOT TARGET simdjson::simdjson)
  add_library(simdjson::simdjson UNKNOWN IMPORTED)
  set_target_properties(simdjson::simdjson PROPERTIES IMPORTED_LOCATION "${SIMDJSON_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${SIMDJSON_INCLUDE_DIR}")
endif()
