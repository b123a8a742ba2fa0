# Reads from ARCHITECTURE.md's tables which folders do without LibTorch ("no torch"), and compiles these without its include
# folder. tests/architecture reads the same tables.
#
# Out: LEVIN_PLAIN_FOLDERS, a list such as framework/core;datamodules/readers
include_guard(GLOBAL)

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/ARCHITECTURE.md")
file(STRINGS ARCHITECTURE.md rows REGEX "^\\| `[a-z_/]+/` \\| no torch \\|")
set(LEVIN_PLAIN_FOLDERS "")
foreach(row IN LISTS rows)
  string(REGEX MATCH "`([a-z_/]+)/`" ignored "${row}")
  list(APPEND LEVIN_PLAIN_FOLDERS "${CMAKE_MATCH_1}")
endforeach()
if(NOT LEVIN_PLAIN_FOLDERS)
  message(FATAL_ERROR "ARCHITECTURE.md has no table row that marks a folder as 'no torch'; restore the form of its tables")
endif()

# fmt's headers come with LibTorch. This folder contains only them, for the folders without LibTorch.
set(LEVIN_FMT_INCLUDE_DIR "${PROJECT_BINARY_DIR}/include/fmt_alone")
file(MAKE_DIRECTORY "${LEVIN_FMT_INCLUDE_DIR}")
file(CREATE_LINK "${LEVIN_TORCH_DIR}/include/fmt" "${LEVIN_FMT_INCLUDE_DIR}/fmt" SYMBOLIC)

# levin_move(MATCHING SOURCES REGEX): moves the files that match from the list SOURCES to the list MATCHING.
function(levin_move matching_list sources_list regex)
  set(matching ${${sources_list}})
  set(others ${${sources_list}})
  list(FILTER matching INCLUDE REGEX "${regex}")
  list(FILTER others EXCLUDE REGEX "${regex}")
  set(${matching_list} ${matching} PARENT_SCOPE)
  set(${sources_list} ${others} PARENT_SCOPE)
endfunction()

# levin_split_plain(PLAIN SOURCES [PREFIX]): moves the files of the folders without LibTorch from the list SOURCES to the
# list PLAIN. With a PREFIX such as tests/, the folders of that name below it are meant.
function(levin_split_plain plain_list sources_list)
  set(folders ${LEVIN_PLAIN_FOLDERS})
  list(TRANSFORM folders PREPEND "${PROJECT_SOURCE_DIR}/${ARGN}")
  list(JOIN folders "|" folders)
  levin_move(${plain_list} ${sources_list} "^(${folders})/")
  set(${plain_list} ${${plain_list}} PARENT_SCOPE)
  set(${sources_list} ${${sources_list}} PARENT_SCOPE)
endfunction()

# levin_plain_target(TARGET): gives a target the headers of Levin, of fmt and of the libraries that Levin depends on, but not
# those of LibTorch.
function(levin_plain_target target)
  target_include_directories(${target} PRIVATE "${LEVIN_INCLUDE_DIR}")
  target_include_directories(${target} SYSTEM PRIVATE "${LEVIN_FMT_INCLUDE_DIR}")
  target_link_libraries(${target} PRIVATE levin_flags levin_dependencies Threads::Threads)
endfunction()
