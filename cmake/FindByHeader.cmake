# levin_find_by_header(NAME HEADER LIBRARY TARGET PACKAGE): what a module Find<NAME>.cmake does for a package whose own CMake
# files can't be used: it looks for the header and the library, and makes the imported target. PACKAGE is what Debian and
# Ubuntu call the package, for the message if there is none.
include_guard(GLOBAL)
include(FindPackageHandleStandardArgs)

function(levin_find_by_header name header library target package)
  string(TOUPPER "${name}" variable)
  find_path(${variable}_INCLUDE_DIR "${header}")
  find_library(${variable}_LIBRARY "${library}")
  mark_as_advanced(${variable}_INCLUDE_DIR ${variable}_LIBRARY)
  find_package_handle_standard_args(${name} REQUIRED_VARS ${variable}_LIBRARY ${variable}_INCLUDE_DIR
    REASON_FAILURE_MESSAGE "install ${package}")
  set(${name}_FOUND "${${name}_FOUND}" PARENT_SCOPE)
  if(${name}_FOUND AND NOT TARGET ${target})
    add_library(${target} UNKNOWN IMPORTED)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${${variable}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${${variable}_INCLUDE_DIR}")
  endif()
endfunction()
